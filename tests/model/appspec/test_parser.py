"""Cases are files in tests/cases/appspec: `appspec` goes in, `problems` and `plan` (where given) must come out."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.harness import ROOT
from towline.model.appspec.parser import TEXT_LIMIT_BYTES, parse_appspec
from towline.model.appspec.plan import PLAN_LIMIT_BYTES
from towline.model.problem import is_broken

CASES = sorted(ROOT.joinpath("tests/cases/appspec").glob("*.yml"))


def _said(problems: Any) -> list[str]:
    return [f"{problem.severity}: {problem}" for problem in problems]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_an_appspec_gives_the_plan_and_problems_of_its_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    checked = parse_appspec(case["appspec"])
    assert _said(checked.problems) == case.get("problems", [])
    assert (checked.value is None) == is_broken(checked.problems)
    if "plan" in case:
        assert checked.value is not None
        plan = checked.value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        assert plan == case["plan"]


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"version: \xe9", b"a: \x01", "a: \ud800", b"", b"\xef\xbb\xbf", "-", "? "]
)
def test_what_is_no_text_or_no_map_is_an_error(text: bytes | str) -> None:
    checked = parse_appspec(text)
    assert checked.value is None
    assert is_broken(checked.problems)


def test_a_deep_document_is_an_error_and_not_a_crash() -> None:
    assert parse_appspec("[" * 100_000).value is None
    assert parse_appspec("a: " + "[" * 900 + "]" * 900).value is None


def test_a_plan_over_its_limit_is_an_error() -> None:
    text = "version: 0.0\nos: linux\npermissions:\n" + "- object: /a\n" * (PLAN_LIMIT_BYTES // 60)
    assert len(text) < TEXT_LIMIT_BYTES, "the AppSpec itself is small enough"
    assert "is the limit" in parse_appspec(text).problems[0].rule


def test_a_plan_of_a_thousand_files_is_none_too_large() -> None:
    entry = "  - source: app/some/file\n    destination: /srv/app/some/place\n"
    assert parse_appspec("version: 0.0\nos: linux\nfiles:\n" + entry * 5000).value


def test_lines_are_known_for_problems_that_are_found_later() -> None:
    text = "version: 0.0\nos: linux\nhooks:\n  AfterInstall:\n    - location: a.sh\n    - location: b.sh\n"
    assert parse_appspec(text).lines["hooks.AfterInstall[1].location"] == 6


_KEYS = """version os files permissions hooks file_exists_behavior source destination object pattern except type owner
mode acls context range location timeout runas sudo AfterInstall Install"""
_keys = st.sampled_from(_KEYS.split())
_leaf = st.one_of(
    st.sampled_from(
        [0.0, 0, "linux", None, False, "**", "file", "s0:c1", "u:bob:rw", ":::", "0644", 0o644, "1:30", 10**30]
    ),
    st.text(string.printable, max_size=8),
    st.floats(),
)
_documents = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6), max_leaves=30
)


@given(_documents)
def test_no_structure_makes_the_parser_raise(document: Any) -> None:
    if isinstance(document, dict):
        document = {"version": 0.0, "os": "linux", **document}
    checked = parse_appspec(yaml.safe_dump(document))
    assert (checked.value is None) == is_broken(checked.problems)


@given(st.text() | st.binary())
def test_no_text_makes_the_parser_raise(text: str | bytes) -> None:
    checked = parse_appspec(text)
    assert (checked.value is None) == is_broken(checked.problems)
