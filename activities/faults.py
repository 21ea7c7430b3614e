"""Faults, and the outcome of an instance on which nothing was begun because of one."""

from __future__ import annotations

from towline.errors import TowlineError
from towline.model.deployment.status import Outcome
from towline.model.messages.instance import Fault, InstanceOutcome


def fault_of(error: TowlineError) -> Fault:
    """An error in the words of a message."""
    return Fault(code=error.code, message=error.message, hint=error.hint)


def blocked(instance: str, error: TowlineError) -> InstanceOutcome:
    """Nothing was begun, and it is not (or not yet known to be) the host's fault."""
    return InstanceOutcome(instance=instance, outcome=Outcome.BLOCKED, message=error.message, fault=fault_of(error))
