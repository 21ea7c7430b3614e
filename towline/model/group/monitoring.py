"""A deployment group's alarms and notifications, in CodeDeploy's shapes."""

from __future__ import annotations

from typing import Literal

from towline.model.base import ApiShape
from towline.model.group.traffic import Named


class AlarmConfiguration(ApiShape):
    """CloudWatch alarms that stop a deployment. Disabled, the list is kept and not looked at."""

    enabled: bool = False
    ignore_poll_alarm_failure: bool = False
    alarms: tuple[Named, ...] = ()


class TriggerConfig(ApiShape):
    """An SNS topic, and the events that it is notified of."""

    trigger_name: str = ""
    trigger_target_arn: str = ""
    trigger_events: tuple[
        Literal[
            "DeploymentStart",
            "DeploymentSuccess",
            "DeploymentFailure",
            "DeploymentStop",
            "DeploymentRollback",
            "DeploymentReady",
            "InstanceStart",
            "InstanceSuccess",
            "InstanceFailure",
            "InstanceReady",
        ],
        ...,
    ] = ()
