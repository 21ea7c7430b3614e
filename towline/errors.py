"""The errors of towline.

    TowlineError                    code, message, hint; `str()` is one line that ends with the next step
    ├── InvalidInput                what a person or a program gave us cannot be used
    │   ├── InvalidRequest          a deployment's request
    │   ├── InvalidAppSpec          the AppSpec of a revision; carries every Problem
    │   ├── InvalidBundle           an archive that is broken or hostile
    │   └── InvalidManifest         towline.yaml; carries every Problem
    ├── NotFound                    an application, group, deployment, revision or instance that nobody declared
    ├── Conflict                    it was changed meanwhile, or exists with different parameters
    ├── HostError                   one host's own fault: counts against the deployment's budget
    │   ├── Unreachable             no answer; tried again for a while
    │   ├── HostKeyRefused          an unknown or changed host key
    │   ├── AuthenticationRefused   the host does not let us in (on several hosts: our fault)
    │   ├── HostRefused             the host or its runner cannot work (no Python, no sudo, AWS's agent runs)
    │   └── NotUnderstood           the host sends what is no event of the host protocol
    ├── OurFault                    credentials, bastion, store, source: pauses a rollout, eats no slot
    └── TemporalUnavailable         Temporal does not answer, or no worker does

An error is translated once per border: library → towline in transports and bundles, towline → `ApplicationError` in
`activities/errors.py`, → exit status in `towline/cli`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towline.model.problem import Problem


class TowlineError(Exception):
    """Base of all; `code` is stable and for programs, `message` and `hint` are for people."""

    code = "Error"

    def __init__(self, message: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message}  {self.hint}" if self.hint else self.message


class Terminated(BaseException):
    """SIGTERM has come: a command ends at once, as Ctrl-C ends it; what it only watched goes on."""


def hint_of(number: int | None) -> str:
    """What mends an operating system's error, where that can be said: a disk or quota that is full."""
    full = number in (errno.ENOSPC, errno.EDQUOT)
    return "Make room there (see: df -h, df -i), and run the same again." if full else ""


class InvalidInput(TowlineError):
    """What was given cannot be used."""

    code = "InvalidInput"


class WithProblems(InvalidInput):
    """An invalid document, with each problem found in it (at least one)."""

    def __init__(self, message: str, problems: Sequence[Problem] = (), hint: str = "") -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class InvalidRequest(WithProblems):
    """A deployment's request that breaks a rule."""

    code = "InvalidRequest"


class InvalidAppSpec(WithProblems):
    """An AppSpec that the agent would refuse, or that could not work."""

    code = "InvalidAppSpec"


class InvalidManifest(WithProblems):
    """A towline.yaml that breaks a rule."""

    code = "InvalidManifest"


class InvalidBundle(InvalidInput):
    """An archive that cannot be read, or that tries to leave its folder."""

    code = "InvalidBundle"


class NotFound(TowlineError):
    """The named thing does not exist."""

    code = "NotFound"


class Conflict(TowlineError):
    """The thing exists in another form, or somebody changed it meanwhile."""

    code = "Conflict"


class HostError(TowlineError):
    """One host's own fault."""

    code = "HostError"


class Unreachable(HostError):
    """The host did not answer, or the connection broke."""

    code = "Unreachable"


class HostKeyRefused(HostError):
    """The host showed a key that is unknown or not the one known."""

    code = "HostKeyRefused"


class AuthenticationRefused(HostError):
    """The host did not accept our key or user."""

    code = "AuthenticationRefused"


class HostRefused(HostError):
    """The host, or the runner on it, cannot or will not do this work; `code` says which rule."""

    code = "HostRefused"


class NotUnderstood(HostError):
    """The host sent what the host protocol does not know: whatever answers there, it is not tried again."""

    code = "NotUnderstood"


class OurFault(TowlineError):
    """Something that every host would meet: it pauses the rollout and is tried again."""

    code = "OurFault"


class TemporalUnavailable(TowlineError):
    """Temporal, or every worker, is out of sight."""

    code = "TemporalUnavailable"
