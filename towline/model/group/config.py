"""Deployment configurations: CodeDeploy's shapes, and the three predefined ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from towline.model.base import ApiShape

DEFAULT_CONFIG = "CodeDeployDefault.OneAtATime"


class MinimumHealthyHosts(ApiShape):
    """HOST_COUNT (0 or more) or FLEET_PERCENT (0 to 99); MOST_CONCURRENCY is shown by CodeDeploy for OneAtATime."""

    type: Literal["HOST_COUNT", "FLEET_PERCENT", "MOST_CONCURRENCY"]
    value: int = Field(ge=0)

    @model_validator(mode="after")
    def _percent_below_100(self) -> MinimumHealthyHosts:
        if self.type == "FLEET_PERCENT" and self.value > 99:
            raise ValueError("FLEET_PERCENT goes from 0 to 99")
        return self


class ZonalConfig(ApiShape):
    """One zone after the other; durations in seconds."""

    first_zone_monitor_duration_in_seconds: int | None = Field(default=None, ge=0)
    monitor_duration_in_seconds: int | None = Field(default=None, ge=0)
    minimum_healthy_hosts_per_zone: MinimumHealthyHosts | None = None


class DeploymentConfig(ApiShape):
    """A deployment configuration, predefined or custom."""

    deployment_config_name: str = Field(pattern=r"^[A-Za-z0-9+=,.@_-]{1,100}$")
    minimum_healthy_hosts: MinimumHealthyHosts
    zonal_config: ZonalConfig | None = None
    owner: str = ""


PREDEFINED = {
    config.deployment_config_name: config
    for config in (
        DeploymentConfig(
            deployment_config_name="CodeDeployDefault.AllAtOnce",
            minimum_healthy_hosts=MinimumHealthyHosts(type="FLEET_PERCENT", value=0),
        ),
        DeploymentConfig(
            deployment_config_name="CodeDeployDefault.HalfAtATime",
            minimum_healthy_hosts=MinimumHealthyHosts(type="FLEET_PERCENT", value=50),
        ),
        DeploymentConfig(
            deployment_config_name=DEFAULT_CONFIG,
            minimum_healthy_hosts=MinimumHealthyHosts(type="MOST_CONCURRENCY", value=1),
        ),
    )
}
