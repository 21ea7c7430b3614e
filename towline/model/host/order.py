"""Orders to a host's runner, built from what was frozen (docs/host-protocol.md, "The order"), and questions to hosts.

Pure: what changes between two attempts (a presigned URL, how far the journal is known, seconds left) comes in.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from towline.model.appspec.plan import CompiledPlan
from towline.model.base import Message
from towline.model.bundle.revision import ResolvedRevision
from towline.model.fleet.instance import Target
from towline.model.host.events import Answer
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.instance import Fault, InstanceOrder

HostOrder = dict[str, Any]
PlanPart = dict[str, Any]
"""A compiled AppSpec in an order. Made once for all hosts of a deployment: there may be much of it."""

VERSION = 1
DEPLOYMENT_ROOT = "/opt/codedeploy-agent/deployment-root"
STATE_DIR = "/var/lib/towline"


class Position(Message):
    """How far a run is known to the one who asks: the last journaled event, the bytes of log, that it was started."""

    after: int = 0
    log_after: int = 0
    was_started: bool = False


class AskHosts(Message):
    """Asks many hosts the same read-only question. Targets are given, or lie in the store's `pages`."""

    do: Literal["inventory", "check", "plan", "logs"]
    targets: tuple[Target, ...] = ()
    pages: tuple[str, ...] = ()
    instances: tuple[str, ...] | None = None  # only these of the targets
    order: DeploymentOrder | None = None  # for `plan` and `logs`
    files_key: str = ""  # for `plan`: where the store has the listing of the archive's members
    timeout_seconds: float = 30.0


class HostAnswer(Message):
    """One host's answer: the event of the host protocol, or the fault for which there is none."""

    instance: str
    answer: Annotated[Answer, Field(discriminator="kind")] | None = None
    fault: Fault | None = None


class HostAnswers(Message):
    """The answers, in the order of the targets."""

    answers: tuple[HostAnswer, ...] = Field(default=())


def work_order(
    order: DeploymentOrder,
    target: Target,
    *,
    plan: PlanPart | None,
    url: str | None = None,
    position: Position | None = None,
    deadline_seconds: float | None = None,
) -> HostOrder:
    """The order to deploy a revision to one instance, or to undo a deployment there.

    Args:
        order: what all instances share.
        target: the instance.
        plan: the compiled AppSpec; None for an undo, where the host uses the one it has kept.
        url: a presigned URL of the archive, a secret; None: the runner asks for the archive on the connection.
        position: what an earlier attempt has seen.
        deadline_seconds: seconds that are left for this instance; None: the deployment's limit.
    """
    position = position or Position()
    left = order.limits.deadline_seconds if deadline_seconds is None else max(0.0, deadline_seconds)
    return {
        **_place(target),
        "do": "undo" if order.undo else "deploy",
        "deployment": order.deployment_id,
        "run": order.run_id,
        "after": position.after,
        "log_after": position.log_after,
        "started": position.was_started,
        "group": {"id": order.group_id, "name": order.group, "application": order.application},
        "creator": order.creator.value,
        "type": "IN_PLACE",
        "events": list(order.events),
        "ignore_application_stop_failures": order.ignore_application_stop_failures,
        "file_exists_behavior": order.file_exists_behavior,
        "revision": order.revision and revision_part(order.revision),
        "plan": plan,
        "url": url,
        "undo": order.undo.deployment_id if order.undo else None,
        "limits": {
            "lock_wait": min(order.limits.lock_wait_seconds, left),
            "event": order.limits.event_seconds,
            "deadline": left,
            "silence": order.limits.silence_seconds,
            "max_revisions": order.limits.max_revisions,
            "log_bytes": order.limits.log_bytes,
        },
    }


def preview_order(
    order: DeploymentOrder, target: Target, plan: PlanPart | None, files: list[dict[str, Any]] | None
) -> HostOrder:
    """The order that asks what `order` would do on one instance; `files` lists the archive's members.

    Of an undo both are None: the host answers from what it has kept.
    """
    return {**work_order(order, target, plan=plan), "do": "plan", "files": files}


def halt_order(order: InstanceOrder | DeploymentOrder, target: Target, how: Literal["boundary", "now"]) -> HostOrder:
    """The order that ends a deployment's run on one instance."""
    named = {"deployment": order.deployment_id, "run": order.run_id}
    return {**_place(target), **named, "do": "halt", "halt": how}


def logs_order(order: DeploymentOrder, target: Target) -> HostOrder:
    """The order that asks one instance for a deployment's script log."""
    group = {"id": order.group_id, "name": order.group, "application": order.application}
    return {**_place(target), "do": "logs", "deployment": order.deployment_id, "run": order.run_id, "group": group}


def question_order(
    do: Literal["inventory", "check"], target: Target, revision: ResolvedRevision | None = None
) -> HostOrder:
    """The order that asks one instance what it runs, or whether it is fit (for a revision, if one is given)."""
    return {**_place(target), "do": do, "revision": revision and revision_part(revision)}


def plan_part(plan: CompiledPlan) -> PlanPart:
    """A compiled AppSpec as hosts get it."""
    return plan.model_dump(mode="json", by_alias=True)


def revision_part(revision: ResolvedRevision) -> dict[str, Any]:
    """The order's `revision`, with the environment variables that CodeDeploy's agent gives to scripts.

    BUNDLE_VERSION is there only where the request named a version: hooks that compose a command from it rely on that.
    BUNDLE_ETAG is the one that was seen at the first read where none was named, as with the agent's newest version.
    GitHub revisions have BUNDLE_COMMIT.
    """
    env: dict[str, str] = {}
    if s3 := revision.location.s3_location:
        env = {"BUNDLE_BUCKET": s3.bucket, "BUNDLE_KEY": s3.key}
        env |= {"BUNDLE_VERSION": s3.version} if s3.version and not revision.version_was_found else {}
        env |= {"BUNDLE_ETAG": s3.e_tag} if s3.e_tag else {}
    elif hub := revision.location.git_hub_location:
        env = {"BUNDLE_COMMIT": hub.commit_id}
    return {
        "label": revision.label,
        "sha256": revision.sha256,
        "size": revision.size,
        "bundle_type": revision.bundle_type,
        "unpacked_bytes": revision.unpacked_bytes or None,
        "env": env,
    }


def _place(target: Target) -> HostOrder:
    """The fields that say where on the machine the runner works."""
    return {
        "v": VERSION,
        "instance": target.name,
        "root": target.local.root if target.local else "",
        "profile": target.local is None,
        "deployment_root": target.deployment_root or DEPLOYMENT_ROOT,
        "state_dir": STATE_DIR,
        "allow_aws_agent": target.allows_aws_agent,
    }
