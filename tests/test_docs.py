"""The docs hold: links lead somewhere, commands and options exist, the index is whole, make does what its help says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from tests.harness import ROOT
from towline.cli.commands import cli
from towline.model.manifest.parser import parse_manifest

TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [
    *(ROOT / name for name in TOP),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
# Only where a command begins: `--task-queue towline --id d-1` is somebody else's.
COMMAND = re.compile(
    r"(?:^ *(?:[A-Z_]+=\S+ )*|bin/|&& |\$\()towline ((?:--?[a-z-]+ )*)([a-z]+(?:-[a-z]+)*)((?: [^\n`|#]*)?)",
    re.MULTILINE,
)
MAKE = re.compile(r"`make ([a-z]+)|^ {4}make ([a-z]+)", re.MULTILINE)


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code_of(text: str) -> str:
    """What stands between back ticks, and the lines that are indented or fenced as code."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}.*$", text, re.MULTILINE)
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *fenced, *indented])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_and_options_exist(page: Path) -> None:
    for _, name, rest in COMMAND.findall(code_of(page.read_text(encoding="utf-8"))):
        assert name in cli.commands, f"towline {name}: no such command"
        command = cli.get_command(click.Context(cli), name)
        assert command
        if isinstance(command, click.Group) and rest.split():
            below = rest.split()[0]
            assert below in command.commands, f"towline {name} {below}: no such command"
            command = command.commands[below]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest.split(" && ")[0]):
            assert option in known | {"--help", "--debug", "--version"}, f"towline {name} has no {option}"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    linked = set(LINK.findall(index))
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in linked | {"README.md"}]
    assert not missing, f"docs/README.md needs a line for {missing}: the question that the page answers"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_examples_of_towline_yaml_are_right(page: Path) -> None:
    for example in re.findall(r"^```yaml\n(owner:.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        manifest = parse_manifest(example, file=page.name, folder="/srv", host="here")
        assert manifest.records and not manifest.problems


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_make_targets_exist(page: Path) -> None:
    named = {first or second for first, second in MAKE.findall(page.read_text(encoding="utf-8"))}
    assert named <= targets()


def test_make_help_names_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony and set(phony[1].split()) == targets()


def targets() -> set[str]:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.split()[0] for line in done.stdout.splitlines() if re.match(r"[a-z]+ ", line)}
