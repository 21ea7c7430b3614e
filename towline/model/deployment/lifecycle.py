"""Lifecycle events: which ones an instance goes through in a deployment of a given style, and which run scripts.

Source: CodeDeploy's user guide, "AppSpec 'hooks' section".
"""

from __future__ import annotations

from enum import StrEnum

from towline.model.base import ApiShape


class DeploymentType(StrEnum):
    """Whether the instances of a group are deployed to, or new ones take their place."""

    IN_PLACE = "IN_PLACE"
    BLUE_GREEN = "BLUE_GREEN"


class DeploymentOption(StrEnum):
    """Whether traffic is blocked and allowed at a load balancer."""

    WITH_TRAFFIC_CONTROL = "WITH_TRAFFIC_CONTROL"
    WITHOUT_TRAFFIC_CONTROL = "WITHOUT_TRAFFIC_CONTROL"


class DeploymentStyle(ApiShape):
    """CodeDeploy's DeploymentStyle. Only the default is built."""

    deployment_type: DeploymentType = DeploymentType.IN_PLACE
    deployment_option: DeploymentOption = DeploymentOption.WITHOUT_TRAFFIC_CONTROL


IN_PLACE = DeploymentStyle()
"""In place, without a load balancer: what towline deploys by."""

_BLOCK_TRAFFIC = ("BeforeBlockTraffic", "BlockTraffic", "AfterBlockTraffic")
_REPLACE = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
_ALLOW_TRAFFIC = ("BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic")


def events_for(style: DeploymentStyle = IN_PLACE) -> tuple[str, ...]:
    """The lifecycle events of an instance that is deployed to, in order.

    Of a blue/green deployment these are the events of the new instances.

    >>> events_for()[:2], events_for()[-1]
    (('ApplicationStop', 'DownloadBundle'), 'ValidateService')
    >>> events_for(DeploymentStyle(deployment_type="BLUE_GREEN", deployment_option="WITH_TRAFFIC_CONTROL"))[-4:]
    ('ValidateService', 'BeforeAllowTraffic', 'AllowTraffic', 'AfterAllowTraffic')
    """
    if style.deployment_option is DeploymentOption.WITHOUT_TRAFFIC_CONTROL:
        return _REPLACE
    if style.deployment_type is DeploymentType.BLUE_GREEN:
        return (*_REPLACE, *_ALLOW_TRAFFIC)
    return (*_BLOCK_TRAFFIC, *_REPLACE, *_ALLOW_TRAFFIC)


_WITH_TRAFFIC_CONTROL = DeploymentStyle(deployment_option=DeploymentOption.WITH_TRAFFIC_CONTROL)
_WITHOUT_SCRIPTS = ("BlockTraffic", "DownloadBundle", "Install", "AllowTraffic")  # done by the service or the agent

HOOK_EVENTS = tuple(event for event in events_for(_WITH_TRAFFIC_CONTROL) if event not in _WITHOUT_SCRIPTS)
"""The events that run scripts, in the order in which an instance may meet them."""
