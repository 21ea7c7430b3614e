"""Where the store keeps what belongs to a deployment. Read and written by `towline/store/deployment_records.py`."""

from __future__ import annotations

INDEX = "index/"
"""Below this lies a line for each report."""


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


def index_key(create_time: str, deployment_id: str) -> str:
    """Of a report's line in the index: these sort by time, so that the newest are found without reading all.

    >>> index_key("2025-01-01T00:00:09.120+00:00", "d-1")
    'index/20250101000009_d-1.json'
    """
    digits = "".join(c for c in create_time if c.isdigit())[:14]
    return f"{INDEX}{digits:0<14}_{deployment_id}.json"


def indexed_id(key: str) -> str:
    """The deployment id of a key in the index.

    >>> indexed_id("index/20250101000009_d-1.json")
    'd-1'
    """
    return key.partition("_")[2].removesuffix(".json")
