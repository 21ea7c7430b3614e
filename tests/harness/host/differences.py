"""Where towline does something else than AWS's agent did in a recorded case, and why.

`DIFFERENCES[case][deployment]` names the rules that explain what differs there. A rule says which of the compared
things may differ, and checks that what towline does instead is what it means to do. What no rule explains fails the
case; a rule that explains nothing (any more) fails it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.harness.host.agent_cases import AgentCase
from tests.harness.host.agent_compare import Seen, literally, tree_differences, without_set_id

Check = Callable[[AgentCase, Seen, Seen | None], str]
EVERYTHING = (
    "outcome failed_event error_code script_name message log events tree cleanup scripts_log pointers deployment_dirs"
)


@dataclass(frozen=True)
class Rule:
    """Why something differs; `check` returns what is wrong with what we do instead, or nothing."""

    reason: str
    fields: str = EVERYTHING
    check: Check | None = None
    refused_there: bool = False  # the agent refuses the AppSpec and towline takes it

    @property
    def may_differ(self) -> set[str]:
        return set(self.fields.split())


def only_modes(*alike: Callable[[str, str], bool]) -> Check:
    def check(case: AgentCase, seen: Seen, _: Seen | None) -> str:
        return tree_differences(case, seen.expected["tree"], seen, alike)

    return check


def nothing_changed(case: AgentCase, seen: Seen, before: Seen | None) -> str:
    """Install failed (or never came to be), and what was installed before is there as it was; nothing was added."""
    installed = (before.cleanup if before else None) or []
    if (seen.cleanup or None) != (installed or None):
        return f"the clean-up list is {seen.cleanup}, it was {installed}"
    if seen.compiled and not seen.refused_there and seen.end.get("failed_event") != "Install":
        return f"failed at {seen.end.get('failed_event')!r}, not at Install"
    tree = before.tree if before else {}
    lost = [path for path in installed if path.removeprefix("{dest}/") in tree]
    lost = [path for path in lost if path.removeprefix("{dest}/") not in seen.tree]
    return f"lost: {lost}" if lost else ""


def ends(outcome: str, code: int = 0, message: str = "", warning: str = "") -> Check:
    """Our own end of such a deployment."""

    def check(case: AgentCase, seen: Seen, _: Seen | None) -> str:
        end = seen.end
        if (end["outcome"], end["error_code"]) != (outcome, code):
            return f"ended {end['outcome']} with code {end['error_code']}: {end['message']}"
        if message not in end["message"]:
            return f"the message is {end['message']!r}"
        if warning and not any(warning in told for told in seen.warnings):
            return f"no warning of {warning!r} in {seen.warnings}"
        return ""

    return check


def has(path: str, text: str) -> Check:
    """A file under {dest} has this in it."""

    def check(case: AgentCase, seen: Seen, _: Seen | None) -> str:
        data = seen.tree[path]["data"].decode()
        return "" if text in data else f"{path} is {data!r}"

    return check


UNTOUCHED = Rule(
    "Sources, permissions, owners and conflicts are checked before the first old file is removed (DESIGN.md, 'On the "
    "host'): where the agent removes the last release and then fails, or stops half way, nothing is changed",
    "tree cleanup",
    nothing_changed,
)
SET_ID = Rule(
    "Set-user-id and set-group-id bits of an archive are cleared when it is unpacked; permissions may set them "
    "(DESIGN.md, 'Security')",
    "tree",
    only_modes(without_set_id),
)
LITERAL_MODE = Rule(
    "An unquoted mode: 0644 means octal 644, as the newer agent reads it (DESIGN.md, 'On the host')",
    "tree",
    only_modes(literally),
)
BOTH_MODES = Rule(
    "Set-id bits are cleared when the archive is unpacked, and an unquoted mode is octal",
    "tree",
    only_modes(without_set_id, literally),
)
OCTAL_TAKEN = Rule(
    "An unquoted mode: 0755 means octal 755; the agent refuses it (DESIGN.md, 'On the host')",
    "compiled",
    refused_there=True,
)
NAME_TAKEN = Rule(
    "appspec.yaml is found for hooks as it is for Install (section 9, 17)", "compiled", refused_there=True
)
MARK_TAKEN = Rule("A byte order mark is no reason to fail; validate warns of it", "compiled", refused_there=True)
AFTERWARDS = Rule("Follows from the difference in an earlier deployment of this case")

OUTPUT_LEFT_OPEN = Rule(
    "A hook whose children keep its output open ends soon after the hook itself, by its own exit status, with a "
    "warning (DESIGN.md, 'On the host')",
    "outcome failed_event error_code script_name message log events scripts_log",
    ends("succeeded", warning="keeps its std"),
)
BINARY_OUTPUT = Rule(
    "Output that is no UTF-8 does not fail a script; bytes that cannot be shown are replaced",
    "outcome failed_event error_code script_name message log events scripts_log",
    ends("succeeded"),
)
BINARY_OUTPUT_OF_FAILING = Rule(
    "A failing script has its own diagnostics even when its output, or the agent's locale, is no UTF-8",
    "error_code message log",
    ends("failed", 4, "failed with exit code 1"),
)
QUOTED = Rule(
    "A script's path is one word, whatever is in it (section 9, 22)",
    "outcome failed_event error_code script_name message log events scripts_log",
    ends("succeeded"),
)

TELLS_SIGNAL = Rule(
    "A script that a signal ended has no exit code: the message says which signal",
    "message",
    ends("failed", 4, "ended by signal"),
)
NO_LINE_END = Rule(
    "A name with a line end is refused: it would be two lines of the clean-up list, and the second could name any file",
    check=ends("failed", 5, "line end"),
)
FINAL_AT_ONCE = Rule(
    "A copied file gets the owner and mode of its permissions at once, so where Install fails later they are there "
    "already: between copy and chown another user could have written to it",
    "tree",
)
NOT_PRUNED = Rule("What is no revision is not pruned", "deployment_dirs", ends("succeeded"))
CHANGED_TIME = Rule("A file gets no time that a file of other content has had there (DESIGN.md, 'Security')", "tree")

DIFFERENCES: dict[str, dict[int, tuple[Rule, ...]]] = {
    "012-files-dotdot-missing-parent": {
        1: (
            Rule(
                "A path is made plain before it is used: dot-dot needs no directory to climb out of",
                check=ends("succeeded"),
            ),
        )
    },
    "031-files-invalid-utf8-name": {
        1: (
            Rule(
                "Names that are not UTF-8 are refused on workers and hosts alike: no message or record could hold them",
                check=ends("failed", 5, "not UTF-8"),
            ),
        )
    },
    "160-hooks-killed-by-signal": {1: (TELLS_SIGNAL,), 2: (TELLS_SIGNAL,), 3: (TELLS_SIGNAL,)},
    "051-files-umask-0002": {1: (Rule("The runner works with umask 022, however it was started", "tree"),)},
    "055-bundle-directory": {
        1: (Rule("Only the agent's local entry takes a directory; towline makes an archive of it first", "tree"),)
    },
    "063-bundle-members-outside": {
        1: (
            Rule(
                "Archive members with absolute names are refused (DESIGN.md, 'Security')",
                check=ends("failed", 5, "absolute"),
            ),
        ),
        2: (AFTERWARDS,),
    },
    "064-bundle-zip-with-warning": {
        1: (
            Rule("Archive members with dot-dot are refused (DESIGN.md, 'Security')", check=ends("failed", 5, "leave")),
        ),
        2: (
            Rule(
                "A backslash in a zip is part of the name; nothing is unpacked twice, so times are kept",
                "tree cleanup",
                ends("succeeded"),
            ),
        ),
    },
    "087-exists-overwrite-symlink-source": {
        1: (Rule("OVERWRITE replaces a file by a link, too (section 9, 8)", check=ends("succeeded")),)
    },
    "139-permissions-acl-two-files": {1: (Rule("Each object's ACL has its own mask (section 9, 16)", "tree"),)},
    "142-permissions-acl-base-entries": {5: (UNTOUCHED,), 6: (UNTOUCHED,)},
    "166-hooks-timeout-term-ignored": {
        1: (
            Rule(
                "A script that ignores TERM gets KILL (section 9, 5)",
                "outcome error_code events",
                ends("failed", 3, "failed to complete in 1 seconds"),
            ),
        )
    },
    "169-hooks-background-holds-stdout": {1: (OUTPUT_LEFT_OPEN,)},
    "171-hooks-background-holds-stderr": {1: (OUTPUT_LEFT_OPEN,)},
    "172-hooks-background-released-in-time": {
        1: (Rule(OUTPUT_LEFT_OPEN.reason, "scripts_log", ends("succeeded", warning="keeps its stdout")),)
    },
    "177-hooks-binary-output-success": {1: (BINARY_OUTPUT,), 2: (BINARY_OUTPUT,)},
    "178-hooks-binary-output-then-more": {1: (BINARY_OUTPUT,)},
    "180-hooks-binary-output-no-deployments-log": {2: (BINARY_OUTPUT_OF_FAILING,)},
    "186-hooks-long-line-then-short": {
        1: (Rule("A long line is cut in the log tail and does not empty it (section 9, 24)", "log", ends("failed", 4)),)
    },
    "198-hooks-location-with-arguments": {2: (Rule(QUOTED.reason, "scripts_log", ends("succeeded")),)},
    "199-hooks-location-with-space": {1: (QUOTED,), 2: (QUOTED,)},
    "204-hooks-location-symlink": {
        1: (
            Rule(
                "A script that is a link has its target made executable, as any other; Ruby's chmod leaves links al",
                "error_code script_name message log scripts_log",
                ends("failed", 1, "d.sh"),
            ),
        )
    },
    "207-hooks-unknown-event": {
        1: (
            Rule(
                "An unknown event name is a warning of validate: hosts learn only the events that they know",
                check=ends("succeeded"),
            ),
        )
    },
    "214-hooks-environment-on-premises": {
        1: (
            Rule(
                "There are no on-premises settings of the agent to inherit, and no keys to leak (section 9, 29)", "tree"
            ),
        )
    },
    "232-hooks-script-deletes-itself": {
        1: (
            Rule(
                "The compiled plan outlives an archive that a script removes: what is missing is the script",
                "error_code events script_name message log scripts_log",
                ends("failed", 1, "Script does not exist"),
            ),
        )
    },
    "235-hooks-agent-cwd": {
        1: (Rule("Scripts always start in / (as under the agent's systemd unit)", "tree", has("out/env", "pwd=/\n")),)
    },
    "237-hooks-runas-timeout-grandchild": {
        1: (Rule("At a timeout everything that the script started is ended, under su, too (section 9, 5)", "tree"),),
        2: (AFTERWARDS,),
    },
    "238-hooks-background-survives": {1: (OUTPUT_LEFT_OPEN,)},
    "258-lifecycle-previous-appspec-broken": {
        2: (
            Rule(
                "The kept plan is used, so an AppSpec broken by hand in an old archive does no harm",
                check=ends("succeeded"),
            ),
        )
    },
    "259-lifecycle-previous-archive-deleted": {
        2: (
            Rule(
                "A last archive that is gone makes its events no-ops, with a warning (section 9, 3)",
                check=ends("succeeded", warning="the archive of the last installed deployment is gone"),
            ),
        ),
        3: (AFTERWARDS,),
    },
    "289-lifecycle-appspec-name-change": {
        2: (Rule("The old archive's plan is kept, whatever the new one's AppSpec is called", check=ends("succeeded")),)
    },
    "292-appspec-name-yaml-only": {1: (NAME_TAKEN,)},
    "315-appspec-bom-and-crlf": {1: (MARK_TAKEN,), 3: (MARK_TAKEN,)},
    "324-appspec-latin-locale": {1: (BINARY_OUTPUT_OF_FAILING,)},
    "379-random-seed-055": {
        1: (
            Rule(
                "A link to a directory outside of the archive is not copied from there (DESIGN.md, 'Security')",
                check=ends("failed", 5, "outside of the archive"),
            ),
        ),
        2: (AFTERWARDS,),
    },
    # many cases of the same few rules
    "006-files-missing-source": {1: (UNTOUCHED,)},
    "007-files-missing-source-second": {2: (UNTOUCHED,)},
    "009-files-file-source-trailing-slash": {1: (UNTOUCHED,)},
    "027-files-ancestor-is-file": {1: (UNTOUCHED,), 2: (UNTOUCHED,)},
    "030-files-name-with-newline": {1: (NO_LINE_END,), 2: (AFTERWARDS,), 3: (UNTOUCHED,)},
    "043-files-dangling-symlink-as-directory": {1: (UNTOUCHED,)},
    "271-lifecycle-cleanup-list-edited": {
        2: (
            Rule(
                "A line that was added to the clean-up list by hand is ignored: only what the group made is removed",
                "tree",
                ends("succeeded", warning="is ignored"),
            ),
        )
    },
    "276-lifecycle-retention-foreign-entries": {
        2: (NOT_PRUNED,),
        3: (NOT_PRUNED,),
    },
    "321-appspec-folded-values": {1: (NO_LINE_END,), 2: (AFTERWARDS,)},
    "033-files-tilde-destination": {1: (UNTOUCHED,)},
    "034-files-no-expansion": {2: (UNTOUCHED,)},
    "039-files-owner-and-modes-from-archive": {1: (SET_ID,)},
    "067-exists-appspec-unset-option-disallow": {2: (UNTOUCHED,)},
    "070-exists-appspec-disallow-option-disallow": {2: (UNTOUCHED,)},
    "072-exists-appspec-disallow-option-retain": {2: (UNTOUCHED,)},
    "084-exists-option-invalid": {2: (UNTOUCHED,)},
    "093-exists-conflict-after-cleanup": {2: (UNTOUCHED,)},
    "103-permissions-pattern-empty": {3: (UNTOUCHED,), 4: (UNTOUCHED,)},
    "106-permissions-except-scalar": {3: (UNTOUCHED,)},
    "121-permissions-mode-unquoted-octal": {
        1: (LITERAL_MODE,),
        2: (
            OCTAL_TAKEN,
            LITERAL_MODE,
        ),
        3: (LITERAL_MODE,),
        4: (
            OCTAL_TAKEN,
            LITERAL_MODE,
        ),
        5: (LITERAL_MODE,),
        6: (LITERAL_MODE,),
        7: (LITERAL_MODE,),
    },
    "127-permissions-owner-unknown": {1: (UNTOUCHED,), 2: (UNTOUCHED,), 3: (UNTOUCHED,)},
    "136-permissions-not-on-failure-before": {1: (UNTOUCHED,)},
    "141-permissions-acl-default": {4: (UNTOUCHED,), 5: (UNTOUCHED,)},
    "145-permissions-acl-unknown-user": {1: (UNTOUCHED,)},
    "148-permissions-context-no-range": {2: (UNTOUCHED,)},
    "250-lifecycle-failure-in-install-planning": {2: (UNTOUCHED,)},
    "256-lifecycle-first-fails-install": {1: (UNTOUCHED,)},
    "322-appspec-yaml-words": {2: (UNTOUCHED,), 3: (UNTOUCHED,)},
    "325-random-seed-001": {1: (SET_ID,)},
    "327-random-seed-003": {1: (SET_ID,), 2: (SET_ID,)},
    "328-random-seed-004": {2: (SET_ID,)},
    "330-random-seed-006": {1: (UNTOUCHED,), 2: (UNTOUCHED,), 3: (UNTOUCHED,)},
    "331-random-seed-007": {1: (SET_ID,), 3: (SET_ID,)},
    "334-random-seed-010": {1: (SET_ID,)},
    "336-random-seed-012": {1: (SET_ID,), 2: (SET_ID,), 3: (SET_ID,)},
    "337-random-seed-013": {1: (OCTAL_TAKEN,), 2: (SET_ID,), 3: (SET_ID,)},
    "339-random-seed-015": {2: (UNTOUCHED,)},
    "342-random-seed-018": {2: (SET_ID,)},
    "346-random-seed-022": {1: (SET_ID,), 2: (UNTOUCHED,)},
    "348-random-seed-024": {1: (UNTOUCHED,), 2: (UNTOUCHED,), 3: (UNTOUCHED,)},
    "349-random-seed-025": {1: (SET_ID,)},
    "352-random-seed-028": {1: (SET_ID,), 2: (UNTOUCHED,)},
    "354-random-seed-030": {1: (SET_ID,), 2: (UNTOUCHED,), 3: (UNTOUCHED,)},
    "355-random-seed-031": {1: (UNTOUCHED,), 2: (SET_ID,)},
    "357-random-seed-033": {2: (SET_ID,)},
    "358-random-seed-034": {2: (SET_ID,), 3: (SET_ID,)},
    "360-random-seed-036": {2: (SET_ID,), 3: (SET_ID,)},
    "361-random-seed-037": {2: (UNTOUCHED,), 3: (SET_ID,)},
    "363-random-seed-039": {1: (SET_ID,), 2: (SET_ID,)},
    "364-random-seed-040": {1: (OCTAL_TAKEN,), 3: (UNTOUCHED,)},
    "366-random-seed-042": {2: (SET_ID,), 3: (UNTOUCHED,)},
    "367-random-seed-043": {1: (SET_ID,), 2: (SET_ID,)},
    "369-random-seed-045": {2: (FINAL_AT_ONCE,), 3: (SET_ID,)},
    "370-random-seed-046": {2: (OCTAL_TAKEN,)},
    "372-random-seed-048": {3: (UNTOUCHED,)},
    "373-random-seed-049": {1: (SET_ID,), 2: (SET_ID,)},
    "375-random-seed-051": {2: (SET_ID,)},
    "376-random-seed-052": {2: (SET_ID,)},
    "378-random-seed-054": {1: (SET_ID,), 2: (SET_ID,)},
    "381-random-seed-057": {1: (SET_ID,)},
    "382-random-seed-058": {3: (SET_ID,)},
    "384-random-seed-060": {2: (UNTOUCHED,), 3: (SET_ID,)},
    "385-random-seed-061": {1: (UNTOUCHED,), 3: (CHANGED_TIME,)},
    "387-random-seed-063": {1: (SET_ID,), 2: (UNTOUCHED,), 3: (SET_ID,)},
    "388-random-seed-064": {2: (UNTOUCHED,)},
    "390-random-seed-066": {2: (UNTOUCHED,)},
    "393-random-seed-069": {1: (BOTH_MODES,), 2: (SET_ID,), 3: (SET_ID,)},
    "394-random-seed-070": {2: (OCTAL_TAKEN,)},
    "399-random-seed-075": {3: (UNTOUCHED,)},
    "400-random-seed-076": {1: (SET_ID,), 2: (SET_ID,), 3: (UNTOUCHED,)},
    "402-random-seed-078": {2: (SET_ID,)},
    "403-random-seed-079": {1: (SET_ID,), 2: (SET_ID,)},
    "405-random-seed-081": {1: (OCTAL_TAKEN,), 2: (FINAL_AT_ONCE,), 3: (SET_ID,)},
    "406-random-seed-082": {1: (UNTOUCHED,)},
    "408-random-seed-084": {1: (UNTOUCHED,), 2: (SET_ID,), 3: (UNTOUCHED,)},
    "409-random-seed-085": {1: (SET_ID,), 2: (SET_ID,)},
    "411-random-seed-087": {1: (SET_ID,), 2: (SET_ID,)},
    "414-random-seed-090": {1: (SET_ID,), 2: (SET_ID,)},
    "417-random-seed-093": {1: (SET_ID,)},
    "420-random-seed-096": {2: (SET_ID,), 3: (SET_ID,)},
    "421-random-seed-097": {1: (SET_ID,), 2: (SET_ID,)},
    "423-random-seed-099": {1: (UNTOUCHED,), 3: (SET_ID,)},
    "424-random-seed-100": {1: (UNTOUCHED,), 2: (SET_ID,)},
}
