"""The public Python surface of towline: what programs import. What is not listed here may change in any release.

    from towline.client import DeployRequest, RevisionLocation, connect, new_deployment_id

    deployments = await connect()  # TEMPORAL_ADDRESS and the other settings, as for the command line
    request = DeployRequest(
        application_name="shop",
        deployment_group_name="production",
        revision=RevisionLocation.parse("s3://bucket/shop-1.4.tgz"),
    )
    started = await deployments.start(request, new_deployment_id())
    final = await deployments.wait(started.deployment_id)

All services are async and typed. They print nothing, and raise the errors of `towline.errors`.
"""

from __future__ import annotations

from towline.catalogue.apply import Comparison, compare, write
from towline.catalogue.repository import Catalogue, CatalogueConflict
from towline.creator import Who
from towline.deployments.ids import new_deployment_id
from towline.deployments.instance_list import InstanceList, ListedInstance, list_instances
from towline.deployments.logs import LogReader
from towline.deployments.revisions import UploadedRevision, parse_revision
from towline.deployments.service import DeploymentService, connect
from towline.deployments.start import StartedDeployment
from towline.deployments.watch import Snapshot
from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.listed import DeploymentFilter, ListedDeployment
from towline.model.deployment.preview import Preview
from towline.model.group.group import DeploymentGroup
from towline.model.manifest.parser import Manifest, parse_manifest
from towline.model.messages.deploy import DeployRequest, PauseAnswer, StopAnswer, StopRequest
from towline.model.messages.view import DeploymentView
from towline.settings import Settings, read_settings

__all__ = [
    "Catalogue",
    "CatalogueConflict",
    "Comparison",
    "DeployRequest",
    "DeploymentFilter",
    "DeploymentGroup",
    "DeploymentService",
    "DeploymentView",
    "InstanceList",
    "ListedDeployment",
    "ListedInstance",
    "LogReader",
    "Manifest",
    "PauseAnswer",
    "Preview",
    "RevisionLocation",
    "Settings",
    "Snapshot",
    "StartedDeployment",
    "StopAnswer",
    "StopRequest",
    "UploadedRevision",
    "Who",
    "compare",
    "connect",
    "list_instances",
    "new_deployment_id",
    "parse_manifest",
    "parse_revision",
    "read_settings",
    "write",
]
