"""The runner's own small parts: what its start loads, its JSON, its ways to wait and to remove."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.host.local_host import RUNNER
from towline.host.runner.files import remove_tree
from towline.host.runner.json_binding import quick_json
from towline.host.runner.wire import Wire

HEAVY = {"enum", "re", "json", "signal", "socket", "tarfile", "shutil", "urllib", "subprocess", "tempfile"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def modules_of_a_start(before: str = "") -> set[str]:
    """The modules that are there once the runner is loaded as hosts load it."""
    code = f"{before}import sys; sys.path.insert(0, {str(RUNNER.parent)!r}); import {RUNNER.stem} as runner"
    code += "; print(*sys.modules); assert runner.loads(runner.dumps({'a': [1.5]})) == {'a': [1.5]}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_start_loads_nothing_that_takes_long() -> None:
    assert not HEAVY & modules_of_a_start()


def test_a_python_without_the_c_half_of_json_uses_the_module() -> None:
    assert "json" in modules_of_a_start("import sys; sys.modules['_json'] = None; ")


@given(JSON, st.booleans())
def test_its_json_is_the_modules(value: object, sort_keys: bool) -> None:
    loads, dumps = quick_json()
    assert dumps(value, sort_keys=sort_keys) == json.dumps(value, sort_keys=sort_keys)
    assert loads(" \r\n" + json.dumps(value, indent=1) + "\n") == value


@given(st.text(max_size=20) | st.text(alphabet='{}[]",:01eE.+-tn \t', max_size=20))
def test_its_json_refuses_what_the_module_refuses(text: str) -> None:
    loads, _ = quick_json()
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            loads(text)
    else:
        assert loads(text) == expected or expected != expected


def test_a_tree_is_removed_with_all_that_is_in_it_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "inner").mkdir(parents=True)
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").write_text("x")
    (tree / "a" / "to-directory").symlink_to(kept)
    (tree / "to-nothing").symlink_to("nowhere")
    remove_tree(str(tree))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    assert (kept / "inner").is_dir()


def test_removing_what_is_not_there_or_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "directory")
    for name in ("nothing", "nothing/below", "file/below", "link", "file"):
        remove_tree(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


@pytest.mark.parametrize("what", ["word", "end"])
def test_a_rest_between_messages_ends_with_a_word_of_the_callers_or_the_works_end(what: str) -> None:
    source, caller = os.pipe()
    reader, work = os.pipe()
    os.write(work, b"...")  # news does not end it
    done = threading.Event()

    def rest() -> None:
        Wire(source, -1).rest(3600, reader)
        done.set()

    threading.Thread(target=rest, daemon=True).start()
    assert not done.wait(0.05)
    if what == "word":
        os.write(caller, b"{}\n")
    else:
        os.close(work)
    assert done.wait(30)


def test_a_rest_ends_by_itself_and_does_not_begin_behind_a_word() -> None:
    source, caller = os.pipe()
    reader, work = os.pipe()
    wire = Wire(source, -1)
    wire.rest(0.001, reader)
    wire.buffer = b"{}\n"
    before = time.monotonic()
    wire.rest(3600, reader)
    assert time.monotonic() - before < 3600
    for fd in (source, caller, reader, work):
        os.close(fd)
