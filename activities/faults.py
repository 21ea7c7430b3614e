"""Faults, and the outcome of an instance on which nothing was begun because of one."""

from __future__ import annotations

from towline.errors import TowlineError
from towline.model.deployment.status import Outcome
from towline.model.messages.instance import Fault, InstanceOutcome


def fault_of(error: TowlineError) -> Fault:
    """Returns an error as part of a message."""
    return Fault(code=error.code, message=error.message, hint=error.hint)


def blocked(instance: str, error: TowlineError) -> InstanceOutcome:
    """Returns the outcome where nothing was begun and the fault is not, or not yet known to be, the host's."""
    return InstanceOutcome(instance=instance, outcome=Outcome.BLOCKED, message=error.message, fault=fault_of(error))
