"""CodeDeploy's DeploymentInfo, typed: what a deployment is, how it stands and how it ended. Pure.

Built once, by the Deployment workflow or, of one that could not tell itself, by `towline/deployments/final_view.py`.
Temporal, the store, `--json` and the API carry it as CodeDeploy writes it: what is not known (yet) is absent.
Times are ISO 8601 text, empty where there is none; who calls knows the clock.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, PlainSerializer
from pydantic.alias_generators import to_pascal

from towline.model.appspec.plan import FileExistsBehavior
from towline.model.base import Absent, AbsentIfFalse, ApiShape
from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.lifecycle import IN_PLACE, DeploymentStyle
from towline.model.deployment.status import Creator, DeploymentStatus
from towline.model.group.group import AutoRollback
from towline.model.group.monitoring import AlarmConfiguration
from towline.model.group.traffic import BlueGreenDeploymentConfiguration, Ec2DeploymentOptions, LoadBalancerInfo
from towline.model.names import rollback_label


def _shape_of(location: RevisionLocation) -> dict[str, Any]:
    return location.model_dump(mode="json", by_alias=True, exclude_none=True)


Text = Annotated[str, AbsentIfFalse]
Location = Annotated[Annotated[RevisionLocation, PlainSerializer(_shape_of)] | None, Absent]


class ErrorInformation(ApiShape):
    """Why a deployment did not succeed."""

    code: Text = ""  # an `ErrorCode`
    message: Text = ""


class RollbackInfo(ApiShape):
    """On a failed deployment the one that rolls it back; on a rollback the one that it rolls back."""

    rollback_deployment_id: Text = ""
    rollback_triggering_deployment_id: Text = ""
    rollback_message: Text = ""


class DeploymentOverview(ApiShape):
    """How many instances stand how; those of unknown status are in no bucket, as in CodeDeploy."""

    model_config = ConfigDict(alias_generator=to_pascal)

    pending: int = 0
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    ready: int = 0

    @property
    def total(self) -> int:
        """All that are counted."""
        return self.pending + self.in_progress + self.ended

    @property
    def ended(self) -> int:
        """Those that will not change any more."""
        return self.succeeded + self.failed + self.skipped


class DeploymentInfo(ApiShape):
    """CodeDeploy's DeploymentInfo."""

    application_name: Text = ""
    deployment_group_name: Text = ""
    deployment_config_name: Text = ""  # in force
    deployment_id: Text
    previous_revision: Location = None  # what the group ran before
    revision: Location = None  # as resolved; else as given
    status: DeploymentStatus
    error_information: Annotated[ErrorInformation | None, Absent] = None
    create_time: Text = ""  # accepted
    start_time: Text = ""  # began to deploy
    complete_time: Text = ""
    description: Text = ""
    creator: Creator = Creator.USER
    deployment_overview: Annotated[DeploymentOverview | None, Absent] = None  # None: the instances are not known yet
    ignore_application_stop_failures: bool = False
    auto_rollback_configuration: AutoRollback = AutoRollback()  # in force
    update_outdated_instances_only: bool = False
    rollback_info: RollbackInfo = RollbackInfo()
    deployment_style: DeploymentStyle = IN_PLACE
    instance_termination_wait_time_started: bool = False
    blue_green_deployment_configuration: Annotated[BlueGreenDeploymentConfiguration | None, Absent] = None
    load_balancer_info: Annotated[LoadBalancerInfo | None, Absent] = None
    override_alarm_configuration: Annotated[AlarmConfiguration | None, Absent] = None
    ec2_deployment_options: Annotated[Ec2DeploymentOptions | None, Absent] = None
    file_exists_behavior: FileExistsBehavior = "DISALLOW"
    compute_platform: str = "Server"

    @property
    def full_name(self) -> str:
        """`application/group`, with `?` for what could not even be read."""
        return f"{self.application_name or '?'}/{self.deployment_group_name or '?'}"

    @property
    def error_code(self) -> str:
        """Why it did not succeed; empty where nothing is wrong."""
        return self.error_information.code if self.error_information else ""

    @property
    def error_message(self) -> str:
        """CodeDeploy's sentence for it; empty where nothing is wrong."""
        return self.error_information.message if self.error_information else ""

    @property
    def overview(self) -> DeploymentOverview:
        """How many instances stand how; none in any bucket while they are not known."""
        return self.deployment_overview or DeploymentOverview()

    @property
    def undoes(self) -> str:
        """The id of the deployment that this one rolls back; empty if it is no rollback."""
        return self.rollback_info.rollback_triggering_deployment_id

    @property
    def revision_label(self) -> str:
        """Its revision as people write it; empty where there is none."""
        return self.revision.label if self.revision else ""

    @property
    def subject(self) -> str:
        """What it brings, in lists and headlines: its revision's label, or `rollback of d-1`."""
        return rollback_label(self.undoes) if self.undoes else self.revision_label
