"""The errors of towline.

    TowlineError                    code, message, hint; `str()` is one line that ends with the next step
    ├── InvalidInput                input from a user or a program that cannot be used
    │   ├── InvalidRequest          a deployment's request
    │   ├── InvalidAppSpec          the AppSpec of a revision; carries every Problem
    │   ├── InvalidBundle           an archive that is broken or hostile
    │   └── InvalidManifest         towline.yaml; carries every Problem
    ├── NotFound                    no such application, group, deployment, revision or instance
    ├── Conflict                    changed by another client, or exists with different parameters
    ├── HostError                   the fault of one host: counts against the deployment's failure budget
    │   ├── Unreachable             no answer; retried for a while
    │   ├── HostKeyRefused          an unknown or changed host key
    │   ├── AuthenticationRefused   the host rejects user or key (on several hosts: OurFault)
    │   ├── HostRefused             the host cannot run the deployment (no Python, no sudo, AWS's agent runs)
    │   └── NotUnderstood           the host sent something outside the host protocol
    ├── OurFault                    control-plane error (credentials, bastion, store, source): pauses the rollout
    └── TemporalUnavailable         Temporal does not answer, or no worker does

Errors are translated once per boundary: library → towline in transports and bundles, towline → `ApplicationError` in
`activities/errors.py`, → exit status in `towline/cli`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towline.model.problem import Problem


class TowlineError(Exception):
    """Base class: `code` is stable and for programs, `message` and `hint` are for people."""

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
    """SIGTERM was received: a command ends at once, as with Ctrl-C; the deployment it watched continues."""


def hint_of(number: int | None) -> str:
    """The next step for an errno, if there is an obvious one: a full disk or quota."""
    full = number in (errno.ENOSPC, errno.EDQUOT)
    return "Make room there (see: df -h, df -i), and run the same again." if full else ""


class InvalidInput(TowlineError):
    """The input cannot be used."""

    code = "InvalidInput"


class WithProblems(InvalidInput):
    """An invalid document, with each problem found in it (at least one)."""

    def __init__(self, message: str, problems: Sequence[Problem] = (), hint: str = "") -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class InvalidRequest(WithProblems):
    """A deployment request that breaks a rule."""

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
    """It exists with different parameters, or another client changed it in the meantime."""

    code = "Conflict"


class HostError(TowlineError):
    """The fault of one host."""

    code = "HostError"


class Unreachable(HostError):
    """The host did not answer, or the connection broke."""

    code = "Unreachable"


class HostKeyRefused(HostError):
    """The host's key is unknown or differs from the known one."""

    code = "HostKeyRefused"


class AuthenticationRefused(HostError):
    """The host did not accept the key or user."""

    code = "AuthenticationRefused"


class HostRefused(HostError):
    """The host, or the runner on it, cannot run the deployment; `code` names the rule."""

    code = "HostRefused"


class NotUnderstood(HostError):
    """The host sent something outside the host protocol; not retried."""

    code = "NotUnderstood"


class OurFault(TowlineError):
    """A control-plane error that every host would hit: the rollout pauses and retries."""

    code = "OurFault"


class TemporalUnavailable(TowlineError):
    """Temporal, or every worker, is unreachable."""

    code = "TemporalUnavailable"
