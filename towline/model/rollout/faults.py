"""Whose fault it is: a host that refuses us is at fault itself, several that do point at our credentials.

Everything else that stopped us before a host was touched (bastion, store, source, a missing key file) is ours at once.
A fault of ours pauses the rollout, eats no slot, and is probed with one instance now and then.
"""

from __future__ import annotations

from towline.model.deployment.status import Outcome
from towline.model.messages.instance import Fault, InstanceOutcome

AUTHENTICATION_REFUSED = "AuthenticationRefused"

FIRST_PROBE_SECONDS = 5
LONGEST_PROBE_SECONDS = 60


class FaultFinder:
    """Decides over outcomes that come back as BLOCKED. Plain data."""

    def __init__(self) -> None:
        self.blocked: Fault | None = None  # the fault of ours that holds the rollout
        self._probes = 0
        self._suspects: dict[str, InstanceOutcome] = {}  # refused us; judged by what the next host does

    @property
    def probe_seconds(self) -> int:
        """How long to wait before the next probe: 5 s, doubled each time up to 60 s."""
        doublings = min(max(self._probes - 1, 0), 10)
        return min(FIRST_PROBE_SECONDS << doublings, LONGEST_PROBE_SECONDS)

    @property
    def has_suspects(self) -> bool:
        """Whether a refusal waits to be judged."""
        return bool(self._suspects)

    def hear(self, outcome: InstanceOutcome) -> tuple[list[InstanceOutcome], list[str]]:
        """Takes an instance's outcome; answers (outcomes that count now, instances that go back to wait).

        A suspect is in neither list until another host has answered, or `nobody_left` is called.
        """
        if outcome.outcome is not Outcome.BLOCKED:
            self.blocked, self._probes = None, 0
            counted = [as_own_fault(suspect) for suspect in self._suspects.values()]
            self._suspects.clear()
            return [*counted, outcome], []
        assert outcome.fault is not None
        if outcome.fault.code == AUTHENTICATION_REFUSED and self.blocked is None and not self._suspects:
            self._suspects[outcome.instance] = outcome
            return [], []
        self.blocked = outcome.fault
        self._probes += 1
        back = [*self._suspects, outcome.instance]
        self._suspects.clear()
        return [], back

    def nobody_left(self) -> list[InstanceOutcome]:
        """No other host can be asked: the refusals are their hosts' own."""
        counted = [as_own_fault(suspect) for suspect in self._suspects.values()]
        self._suspects.clear()
        return counted


def as_own_fault(outcome: InstanceOutcome) -> InstanceOutcome:
    """A blocked outcome as its host's own failure."""
    message = outcome.fault.message if outcome.fault else outcome.message
    return outcome.model_copy(update={"outcome": Outcome.FAILED, "message": message})
