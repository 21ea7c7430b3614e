"""Where the store keeps what belongs to a deployment. Read and written by `towline/store/deployment_records.py`."""

from __future__ import annotations


def order_key(deployment_id: str) -> str:
    """Of a deployment's `DeploymentOrder`."""
    return f"deployments/{deployment_id}/order.json"


def fleet_prefix(deployment_id: str) -> str:
    """Below this lie a deployment's `FleetPage`s."""
    return f"deployments/{deployment_id}/fleet/"


def page_key(deployment_id: str, number: int) -> str:
    """Of one `FleetPage`; the first is number 0."""
    return f"{fleet_prefix(deployment_id)}{number}.json"


def instances_prefix(deployment_id: str) -> str:
    """Below this lie a deployment's `InstanceReport`s."""
    return f"deployments/{deployment_id}/instances/"


def instance_key(deployment_id: str, instance: str) -> str:
    """Of an instance's `InstanceReport`."""
    return f"{instances_prefix(deployment_id)}{instance}.json"


def log_key(deployment_id: str, instance: str) -> str:
    """Of an instance's script log."""
    return f"deployments/{deployment_id}/logs/{instance}.log"


def report_key(deployment_id: str) -> str:
    """Of a deployment's report as JSON."""
    return f"deployments/{deployment_id}/report.json"


def report_page_key(deployment_id: str) -> str:
    """Of a deployment's report as a page; it links to those of other deployments."""
    return f"deployments/{deployment_id}/report.html"
