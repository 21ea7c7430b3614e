"""The deployment specification as AWS's agent reads it: ids, names, and where it gets the revision from.

The agent checks nothing of it: ids become path names and `AppSpecFilename` may leave the archive, so only values of the
server's own making are sent. Source: the agent's `DeploymentSpecification`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from towline.model.bundle.revision import BundleType, ResolvedRevision
from towline.model.messages.deploy import DeploymentOrder

STORE_BUCKET = "towline-store"
"""Reserved: the bucket in which archives of towline's store are shown to clients of S3."""
FILE_EXISTS_DEFAULT = "DISALLOW"


class BundleObject(NamedTuple):
    """An archive as an object in S3, which the agent gets from this server. `version` and `e_tag` may be empty."""

    bucket: str
    key: str
    bundle_type: BundleType
    version: str = ""
    e_tag: str = ""

    def matches(self, bucket: str, key: str, version: str) -> bool:
        """Whether a GET of this object is meant."""
        return (self.bucket, self.key) == (bucket, key) and version in ("", self.version)


def bundle_object(revision: ResolvedRevision) -> BundleObject | None:
    """The object that agents ask this server for; None for GitHub's, which they get from api.github.com.

    The version is given only where the request named one, and the ETag that was seen at the first read always: hooks
    find them in BUNDLE_VERSION and BUNDLE_ETAG.
    """
    location = revision.location
    if s3 := location.s3_location:
        version = "" if revision.version_was_found else s3.version or ""
        return BundleObject(s3.bucket, s3.key, revision.bundle_type, version, s3.e_tag or "")
    if store := location.store_location:
        key = f"{store.digest}/{store.name or 'bundle'}.{store.bundle_type}"
        return BundleObject(STORE_BUCKET, key, revision.bundle_type)
    return None


def empty_object(deployment_id: str) -> BundleObject:
    """The revision that takes a host back to nothing: its Install removes what was installed, and installs nothing."""
    return BundleObject(STORE_BUCKET, f"empty/{deployment_id}.tar", "tar")


def specification(order: DeploymentOrder, revision: dict[str, Any]) -> dict[str, Any]:
    """The specification of one deployment; the same for each of its commands. `revision` is one of those below."""
    return {
        "DeploymentId": order.deployment_id,
        "DeploymentGroupId": order.group_id,
        "DeploymentGroupName": order.group,
        "ApplicationName": order.application,
        "DeploymentCreator": order.creator.value,
        "DeploymentType": "IN_PLACE",
        "AppSpecFilename": "appspec.yml",
        "AgentActionOverrides": {
            "AgentOverrides": {"FileExistsBehavior": order.file_exists_behavior or FILE_EXISTS_DEFAULT}
        },
        "Revision": revision,
    }


def revision_of(revision: ResolvedRevision) -> dict[str, Any]:
    """A revision as the agent gets it: from this server, or a public commit from GitHub."""
    if found := bundle_object(revision):
        return s3_revision(found)
    hub = revision.location.git_hub_location
    assert hub, "S3, GitHub or Store"
    account, _, repository = hub.repository.partition("/")
    kind = "zip" if revision.bundle_type == "zip" else "tar"  # the agent refuses tgz here: GitHub's tar is one
    given = {"Account": account, "Repository": repository, "CommitId": hub.commit_id, "BundleType": kind}
    return {"RevisionType": "GitHub", "GitHubRevision": given}


def s3_revision(found: BundleObject) -> dict[str, Any]:
    """An object in S3. An empty ETag always fails, and an empty version would be sent: both are left out."""
    given = {"Bucket": found.bucket, "Key": found.key, "BundleType": found.bundle_type}
    optional = {"Version": found.version, "ETag": found.e_tag}
    return {"RevisionType": "S3", "S3Revision": given | {name: value for name, value in optional.items() if value}}
