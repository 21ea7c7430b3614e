"""A hint must hold when it is followed: every hint of every case is applied to its AppSpec, and that is read again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.harness import ROOT
from tests.model.appspec.test_lint import listing_of
from towline.model.appspec.lint import lint_bundle
from towline.model.appspec.parser import parse_appspec
from towline.model.bundle.listing import Listing
from towline.model.problem import Problem, Severity

CASES = ROOT / "tests/cases"
PATHS = sorted([*CASES.glob("appspec/*.yml"), *CASES.glob("bundles/*.yml")])
LITERAL = r"'(- )?(\w+: (?:'[^']*'|[^'])*?)'(?=$|[,;. ])"

# What has to be done elsewhere, or is for people to decide; the rest is an edit of the file, which is made here.
ADVICE = re.compile(
    r"Call it appspec|Where it leads|Set it in the perm|Set the mode in|Put the (script|files) into|Fix it with|"
    r"Save it|Leave (the link|them) out|Permissions are only for|A pattern other|It is only for what lies|"
    r"except is (only )?for|Paths are taken|Name (a script|the directory$|the script|a directory|the file|an object)|"
    r"Give the scripts|location is a script's path|Take this entry|Scripts get no arguments|"
    r"Use (file_exists|the permissions|owner|the name)|The (events are|form is|role)|Hooks run at|"
    r"Write (what it stands|the name|a name|letters|the events|it in one line|one of the three|the value out)|"
    r"Keep (one of|what is served)|Join the two|An (entry for|AppSpec for)|Use mode for|Use >-|It (needs|belongs)|"
    r"Close the bracket|Check |Indent (it below|with)|Take (it out|such)|Remove it|Use single|Nothing is renamed|"
    r"Write file or directory|Leave it out|Put a value|Fix these|^$"
)


class Document:
    """An AppSpec's lines, to which hints are applied."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")

    def follow(self, problem: Problem) -> str | None:
        """The text with a problem's hint followed; None where the hint is no edit of the file."""
        hint, at = problem.hint, problem.line - 1
        if "in place of the '-' of the entry's other keys" in hint:
            for number, dash in enumerate(["- ", "  "]):
                self.lines[at + number] = re.sub(r"^( *)-", rf"\1{dash}", self.lines[at + number])
        elif "in the column of the first" in hint:
            column = self.lines[at].index("-")
            self.lines[at] = self.lines[at].replace("-", "- ", 1)
            self.lines[at + 1] = " " * (column + 2) + self.lines[at + 1].lstrip()
        elif problem.rule.endswith("is no key with a value") and (literal := re.search(LITERAL, hint)):
            text = literal[2]
            self.lines[at] = re.sub(r"^([ -]*)\S.*", lambda found: found[1] + text, self.lines[at])
        elif owner := re.search(r"Write '(\w+:)' in the line above", hint):
            self._own(at, owner[1])
        elif problem.rule == "the file is empty":
            self.lines += re.findall(r"'(\w+: \S+)'", hint)
        elif (
            self.lines[at].lstrip().startswith("-")
            and "must be a map" in problem.rule
            and (item := re.search(LITERAL, hint))
        ):
            blanks = " " * self.lines[at].index("-")
            more = [f"{blanks}  destination: /srv/app"] if "destination" in hint else []
            self.lines[at : at + 1] = [f"{blanks}- {item[2]}", *more]
        elif hint == "Take it away":
            word = re.escape(problem.rule.split("'")[1])
            self.lines[at] = re.sub(rf'"?{word}"?,? ?', "", self.lines[at])
        elif place := re.search(r"Write '(except: .*)' in permissions\[(\d+)\]", hint):
            self._in_permission(int(place[2]), place[1])
        elif "below it" in hint and (whole := re.match(LITERAL, hint.removeprefix("Write "))):
            self._below(at, whole[2], hint)
        elif "in front of each other line" in hint:
            self._dashed(at)
        elif hint == "Take the '- ' away":
            self.lines[at] = self.lines[at].replace("- ", "", 1)
        elif hint.startswith("Take the '- ' away"):
            for line in [at, *(int(number) - 1 for number in re.findall(r"\d+", problem.rule.split(":")[0]))]:
                self.lines[line] = self.lines[line].replace("- ", "  ", 1)
        elif hint.startswith("Take the '-' away"):
            del self.lines[at]
        elif key := re.match(r"Take (pattern|except) away", hint):
            self.lines[at] = re.sub(rf"^(\s*(?:- )?){key[1]}:.*", r"\1", self.lines[at])
        elif replaced := re.search(r"Write '(\w+: .*)' in place of '(.+)'", hint):
            self._set(at, replaced[2], replaced[1])
        elif problem.rule.startswith("not YAML: a space is missing"):
            indent = len(self.lines[at]) - len(self.lines[at].lstrip())
            self.lines[at] = " " * indent + re.sub(r"^Write '|'$", "", hint)
        elif literal := re.search(LITERAL, hint):
            self._set(at, literal[2].split(":")[0], literal[2])
        elif quotes := re.search(r"(?:Put|Write) it in quotes: (.+)$", hint):
            value = re.escape(quotes[1].strip("\"'"))
            self.lines[at] = re.sub(
                rf"([:\-\[,] *)0*{value}(?=\s*(?:[,}}\]]|$))", lambda m: m[1] + quotes[1], self.lines[at]
            )
        elif hint == "Close the quote":
            quote = re.search(r"[\"']", self.lines[at])
            self.lines[at] += quote[0] if quote else ""
        elif hint.startswith("Put an ordinary space"):
            self.lines[at] = self.lines[at].replace("\u00a0", " ")
        elif pair := re.match(r"Let (.+) begin in the same column as (.+)", hint):
            self._align(at, pair[1], pair[2])
        elif meant := re.match(r"Did you mean (.+)\?$", hint):
            self._replace(at, problem, meant[1])
        else:
            assert ADVICE.match(hint), f"neither advice nor an edit that this test knows: {hint!r}"
            return None
        return "\n".join(self.lines)

    def _own(self, at: int, owner: str) -> None:
        """Writes a key above an item, beside keys of its kind."""
        blanks = "  " if owner.startswith("After") else ""
        self.lines.insert(at, blanks + owner.replace("AfterInstall", "BeforeInstall"))

    def _set(self, at: int, key: str, literal: str) -> None:
        """Writes a key with its value in the place of another, in block or flow style."""
        literal = literal.replace("…", "/srv/app")
        line = self.lines[at]
        is_flow = re.match(r"^\s*(?:- |\w+: )?\{|.*\{.*: .*\}", line)
        stop = r"[^,}]*" if is_flow and "[" not in literal else r".*"
        if not re.search(rf"(^|[\s{{]){re.escape(key)}\s*:", line):
            blanks = " " * (len(line) - len(line.lstrip(" -")))
            inside = line.rstrip().endswith("[{}]")
            self.lines[at] = line.replace("{}", f"{{{literal}}}") if inside else f"{line}\n{blanks}{literal}"
            return
        after = self.lines[at + 1] if at + 1 < len(self.lines) else ""
        if re.search(r": *[|>]", line) and after.startswith("  "):
            del self.lines[at + 1]
        self.lines[at] = re.sub(rf"(^|[\s{{]){re.escape(key)}\s*:{stop}", lambda m: m[1] + literal, line, count=1)

    def _below(self, at: int, entry: str, hint: str) -> None:
        line = self.lines[at]
        blanks = " " * (len(line) - len(line.lstrip()) + 2)
        if line.lstrip().startswith("- "):  # an item that is a word
            blanks = blanks[2:]
            self.lines[at] = f"{blanks}- {entry}"
        else:
            self.lines[at] = f"{line.split(':')[0]}:\n{blanks}- {entry}"
        if "destination" in hint:
            self.lines[at] += f"\n{blanks}  destination: /srv/app"

    def _dashed(self, at: int) -> None:
        depth = len(self.lines[at]) - len(self.lines[at].lstrip())
        first = True
        for number in range(at + 1, len(self.lines)):
            inner = len(self.lines[number]) - len(self.lines[number].lstrip())
            if self.lines[number].strip() and inner <= depth:
                return
            dash, first = ("- " if first else "  "), False
            self.lines[number] = " " * inner + dash + self.lines[number].lstrip()

    def _align(self, at: int, one: str, other: str) -> None:
        """Moves a key, and what lies below it, to the column of the other."""
        column = next(line.index(other) for line in reversed(self.lines[:at]) if other in line)
        moved = column - self.lines[at].index(one)
        depth = len(self.lines[at]) - len(self.lines[at].lstrip())
        for number in range(at, len(self.lines)):
            inner = len(self.lines[number]) - len(self.lines[number].lstrip())
            if number > at and inner <= depth:
                return
            self.lines[number] = " " * max(0, inner + moved) + self.lines[number].lstrip()

    def _in_permission(self, index: int, literal: str) -> None:
        starts = [number for number, line in enumerate(self.lines) if line.lstrip().startswith("- object:")]
        start = starts[index]
        end = next((number for number in starts if number > start), len(self.lines))
        self.lines[start:end] = [line for line in self.lines[start:end] if not line.lstrip().startswith("except:")]
        self.lines.insert(start + 1, " " * self.lines[start].index("object") + literal)

    def _replace(self, at: int, problem: Problem, meant: str) -> None:
        wrong = problem.key.rpartition(".")[2]
        line = self.lines[at]
        if problem.rule.startswith(("unknown key", "no such lifecycle")):
            self.lines[at] = line.replace(wrong, meant, 1)
        elif wrong.startswith("type["):
            self.lines[at] = re.sub(r"\bFile\b", meant, line)
        else:
            self.lines[at] = re.sub(r"(\w+: ).*", lambda m: m[1] + meant, line)


def _read(text: str, listing: Listing | None) -> list[Problem]:
    checked = parse_appspec(text)
    return [*checked.problems, *(lint_bundle(checked, listing) if listing else [])]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_hint_holds_when_it_is_followed(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    listing = listing_of(case["members"]) if "members" in case else None
    text = case["appspec"] if listing is None else "version: 0.0\nos: linux\n" + case["appspec"]
    before = _read(text, listing)
    for problem in before:
        mended = Document(text).follow(problem)
        if mended is None:
            continue
        after = _read(mended, listing)
        told = [(one.key, one.rule) for one in after]
        assert (problem.key, problem.rule) not in told, f"{problem}\n{mended}"
        # What an entry does that could not be read, or had no effect, shows when it is mended.
        seen_now = re.compile(r"there is no|.* is also selected by")
        errors = {one.rule for one in after if one.severity is Severity.ERROR and not seen_now.match(one.rule)}
        if not any(one.rule.startswith("not YAML") for one in before):
            assert errors <= {one.rule for one in before}, f"a new error, by: {problem}\n{mended}"
        else:
            assert not any(rule.startswith("not YAML") for rule in errors), mended
