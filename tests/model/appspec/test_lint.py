"""Cases are files in tests/cases/bundles: an AppSpec, the bundle's members, and what is wrong with the two together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import ROOT
from towline.model.appspec.lint import lint_bundle
from towline.model.appspec.parser import parse_appspec
from towline.model.bundle.listing import Listing, Member

CASES = sorted(ROOT.joinpath("tests/cases/bundles").glob("*.yml"))


def _member(path: str, what: Any) -> Member:
    if isinstance(what, dict):
        return Member(path=path, **what)
    return Member(path=path.rstrip("/"), type="directory" if path.endswith("/") else "file")


def listing_of(members: dict[str, Any]) -> Listing:
    found: dict[str, Member] = {}
    for path, what in {"appspec.yml": None, **members}.items():
        parts = path.rstrip("/").split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            found.setdefault(parent, Member(path=parent, type="directory"))
        found[path.rstrip("/")] = _member(path, what)
    return Listing(members=tuple(found[path] for path in sorted(found)))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_an_appspec_and_its_bundle_have_the_problems_of_their_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    checked = parse_appspec("version: 0.0\nos: linux\n" + case["appspec"], case.get("name", "appspec.yml"))
    if "alone" in case:
        assert [f"{problem.severity}: {problem}" for problem in checked.problems] == case["alone"]
    found = lint_bundle(checked, listing_of(case["members"]))
    assert [f"{problem.severity}: {problem}" for problem in found] == case.get("problems", [])
