"""The report of a deployment: its own part and its instances' records, merged. Pure.

Its JSON has the same shape as `status --json`, so that a deployment that Temporal has forgotten reads like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import AliasPath, Field

from towline.model.base import ApiShape, CompactShape, adapter
from towline.model.deployment.causes import Cause, causes_of
from towline.model.deployment.describe import status_reason
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import Outcome, Phase, TargetStatus
from towline.model.deployment.target import InstanceTarget, TargetDetails, details_of, ended_target, plain_target
from towline.model.messages.instance import InstanceReport
from towline.model.messages.view import DeploymentRecord, DeploymentView, Progress


@dataclass(frozen=True)
class DeploymentReport:
    """A deployment with its instances: what `status --json` prints, and what the store keeps of one that has ended."""

    view: DeploymentView
    targets: tuple[InstanceTarget, ...] = ()
    details: Mapping[str, TargetDetails] = field(default_factory=dict)
    run_id: str = ""
    request_fingerprint: str = ""

    @classmethod
    def read(cls, data: bytes | str) -> DeploymentReport:
        """A report from its JSON. Raises ValueError."""
        stored = _Document.model_validate_json(data)
        return cls(
            view=DeploymentView(info=stored.deployment_info, progress=stored.progress),
            targets=tuple(entry.instance_target for entry in stored.deployment_targets),
            details=stored.instances,
            run_id=stored.run_id,
            request_fingerprint=stored.request_fingerprint,
        )

    @property
    def causes(self) -> list[Cause]:
        """Why instances failed, each cause once."""
        return causes_of(self.targets, self.details)

    def details_of(self, target: InstanceTarget) -> TargetDetails:
        """What is known of an instance besides its target."""
        return self.details.get(target.target_id, TargetDetails())

    def as_json(self) -> dict[str, Any]:
        """CodeDeploy's shapes, and `progress`, ours: with the instances' details by name, and the causes."""
        progress = self.view.progress.as_json() | {
            "instances": adapter(dict[str, TargetDetails]).dump_python(dict(self.details), mode="json", by_alias=True),
            "causes": [cause.as_json() for cause in self.causes],
        }
        shown = {
            "deploymentInfo": self.view.info.as_json(),
            "deploymentTargets": [
                {"deploymentTargetType": "InstanceTarget", "instanceTarget": target}
                for target in adapter(tuple[InstanceTarget, ...]).dump_python(self.targets, mode="json", by_alias=True)
            ],
            "progress": progress,
        }
        of_ended = {"runId": self.run_id, "requestFingerprint": self.request_fingerprint}
        return shown | {key: value for key, value in of_ended.items() if value}


def merge(record: DeploymentRecord, reports: Mapping[str, InstanceReport], address: str = "") -> DeploymentReport:
    """The report of a deployment that has ended; `address` is where its page will be.

    What the deployment counted (`results`) weighs more than an instance's own record: it knows of a rollback, and of
    records that could not be written.
    """
    deployment_id = record.info.deployment_id
    outcomes = {name: outcome for outcome, members in record.results.items() for name in members}
    every = dict.fromkeys([*record.members, *outcomes, *reports])
    progress = record.progress
    if progress.phase is Phase.ENDED:  # it was said while the report was being written
        progress = progress.model_copy(update={"text": status_reason(progress)})
    if address:
        progress = progress.model_copy(update={"report": address})
    return DeploymentReport(
        view=DeploymentView(info=record.info, progress=progress),
        targets=tuple(_target(deployment_id, name, outcomes.get(name), reports.get(name)) for name in every),
        details={name: _details(outcomes.get(name), reports.get(name)) for name in every},
        run_id=record.run_id,
        request_fingerprint=record.request_fingerprint,
    )


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Entry(CompactShape):
    instance_target: InstanceTarget


class _Document(ApiShape):
    deployment_info: DeploymentInfo
    deployment_targets: tuple[_Entry, ...] = ()
    progress: Progress = Progress()
    instances: dict[str, TargetDetails] = Field(
        validation_alias=AliasPath("progress", "instances"), default_factory=dict
    )
    run_id: str = ""
    request_fingerprint: str = ""


def _target(deployment_id: str, name: str, outcome: Outcome | None, report: InstanceReport | None) -> InstanceTarget:
    if report is None:
        return plain_target(deployment_id, name, outcome.target_status if outcome else TargetStatus.UNKNOWN)
    # What a rollback made of it is no status of CodeDeploy's: there the instance keeps how this deployment ended on it.
    is_own = outcome and outcome not in (Outcome.ROLLED_BACK, Outcome.NOT_RESTORED)
    return ended_target(deployment_id, report, outcome.target_status if outcome and is_own else None)


def _details(outcome: Outcome | None, report: InstanceReport | None) -> TargetDetails:
    return details_of(report, outcome) if report else TargetDetails(outcome=outcome)
