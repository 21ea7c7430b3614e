"""No archive and no AppSpec decides how long a worker is busy: no recursion, no powers, no squares."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.loop import ratio_of_times
from towline.host.runner import install_tree
from towline.host.runner.glob import glob_matches
from towline.model.appspec.lint import lint_bundle
from towline.model.appspec.parser import parse_appspec
from towline.model.bundle.listing import Listing, Member
from towline.model.problem import Problem, bounded
from towline.model.yaml.psych import plain_value

TOP = "version: 0.0\nos: linux\nfiles:\n  - {source: /, destination: /srv}\n"


def _problems(text: str, members: list[Member]) -> list[Problem]:
    return lint_bundle(parse_appspec(text), Listing(members=tuple(sorted(members, key=lambda one: one.path))))


def _directories(names: list[str]) -> list[Member]:
    return [Member(path="/".join(names[: depth + 1]), type="directory") for depth in range(len(names))]


def test_a_thousand_nested_directories_are_walked_through() -> None:
    assert _problems(TOP, [*_directories(["d"] * 1900), Member(path="x", type="file")]) == []


def test_links_that_multiply_directories_end_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_tree, "INSTALLED_AT_MOST", 20_000)
    members = [Member(path="d40", type="directory"), Member(path="d40/x", type="file")]
    for level in range(40):
        members.append(Member(path=f"d{level}", type="directory"))
        members += [
            Member(path=f"d{level}/{side}", type="symlink", target=f"../d{level + 1}") for side in ("left", "right")
        ]
    assert any("files would be installed" in problem.rule for problem in _problems(TOP, members))


def test_very_many_permissions_of_very_many_files_are_not_all_compared() -> None:
    members = [Member(path=f"f{number}", type="file") for number in range(20_000)]
    text = TOP + "permissions:\n" + "".join(f"- {{object: /srv, pattern: x{number}}}\n" for number in range(2000))
    assert any("too many permissions" in problem.rule for problem in _problems(text, members))


def test_very_many_problems_are_counted() -> None:
    text = "version: 0.0\nos: linux\nhooks:\n  AfterInstall:\n" + "    - {timeout: x}\n" * 5000
    told = bounded(parse_appspec(text).problems)
    assert len(told) == 101
    assert told[-1].rule.endswith("more problems are not shown")
    text = "version: 0.0\nos: linux\n" + "a: *b\n" * 50_000
    assert len(parse_appspec(text).problems) < 3000


def _as_value(text: str) -> object:
    return parse_appspec(f"version: 0.0\nos: linux\nhooks: {{AfterInstall: [{{location: a, timeout: {text}}}]}}\n")


@pytest.mark.parametrize("unit", ["0b0", "0x_", "1:", "1_", "00", "1.", "$a", "%a", "`a", "${", "a ", "-", "\\", "_A_"])
@pytest.mark.parametrize(
    "work",
    [
        plain_value,
        _as_value,
        lambda text: parse_appspec(f"version: 0.0\nos: linux\nfiles:\n- source: '{text}x'\n  destination: '/{text}'\n"),
        lambda text: parse_appspec(f"version: 0.0\nos: linux\npermissions:\n- object: /x\n  mode: '{text}'\n"),
        lambda text: parse_appspec(f"{text}: x\n  y: [\n"),
    ],
    ids=["word", "timeout", "paths", "mode", "syntax error"],
)
def test_reading_takes_time_in_proportion_to_length(work: Callable[[str], object], unit: str) -> None:
    ratio = ratio_of_times(work, unit, small=4000 * len(unit), factor=8)
    assert ratio < 32, "8 times as long a text: 8 if it is linear, 64 if it is quadratic"


def test_globs_take_time_in_proportion_to_length() -> None:
    def match(name: str) -> object:
        return glob_matches(name, "*a" * 100 + "*b")

    assert ratio_of_times(match, "a", small=20_000, factor=8) < 32
