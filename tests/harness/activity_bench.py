"""A bench for the activities of instances: a store with one frozen deployment, played hosts, a real archive."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.instances import InstanceActivities
from tests.harness.host.local_host import plan_of, tar_of
from towline.model.appspec.plan import CompiledPlan
from towline.model.bundle.revision import ResolvedRevision, RevisionLocation
from towline.model.deployment.store_keys import instance_key, order_key
from towline.model.fleet.instance import FakeAccess, LocalAccess, Target
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.fleet import FleetPage
from towline.model.messages.instance import Heartbeat, InstanceOrder, InstanceReport
from towline.store import Store, open_store
from towline.transports import FakeHosts, TransportPool

PAGE = "deployments/d-1/fleet/000.json"


class OneArchive:
    """Has one archive on disk; `fault` is raised instead where it is set. `urls` are given out one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: Exception | None = None
        self.urls: list[str] = []
        self.asked: list[str] = []

    async def url(self, revision: ResolvedRevision, *, anew: bool = False) -> str | None:
        self.asked.append("url")
        return self.urls.pop(0) if self.urls else None

    async def file(self, revision: ResolvedRevision) -> Path:
        self.asked.append("file")
        if self.fault:
            raise self.fault
        return self.path


class Bench:
    """A store with one frozen deployment, played hosts, and the activities under test."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.store: Store = open_store(str(tmp_path / "store"))
        self.hosts = FakeHosts()
        self.archives = OneArchive(tmp_path / "bundle.tgz")
        self.environment = ActivityEnvironment()
        self.beats: list[Heartbeat] = []
        self.workflow_is_open = True
        self.environment.on_heartbeat = lambda *details: self.beats.extend(details)
        self.restart()

    def restart(self) -> None:
        """The activities of a fresh worker."""
        self.pool = TransportPool(hosts=self.hosts)
        self.activities = InstanceActivities(self.store, self.archives, self.pool, is_open=self.is_open)

    async def is_open(self, workflow_id: str) -> bool:
        """Whether the workflow of an attempt still runs."""
        return self.workflow_is_open

    def freeze(self, *targets: Target, files: dict[str, Any] | None = None, **changes: Any) -> None:
        """Puts the order, the page and the plan into the store. `files`: those of the bundle, `hooks` its plan."""
        hooks, install = changes.pop("hooks", {}), changes.pop("install", {})
        permissions = changes.pop("permissions", [])
        data = tar_of(files or {"appspec.yml": "version: 0.0\nos: linux\n"})
        self.archives.path.write_bytes(data)
        revision = ResolvedRevision(
            location=RevisionLocation.parse("s3://bucket/bundle.tgz"),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            bundle_type="tgz",
            label="s3://bucket/bundle.tgz",
            plan_key="plans/p.json",
        )
        plan = CompiledPlan.model_validate(plan_of(hooks=hooks, files=install, permissions=permissions))
        fields = {"deployment_id": "d-1", "run_id": "r-1", "application": "shop", "group": "prod", "group_id": "g-1"}
        order = DeploymentOrder.model_validate({**fields, "revision": revision, **changes})
        self.store.put(order_key(order.deployment_id), order.model_dump_json().encode())
        self.store.put(PAGE, FleetPage(targets=targets).model_dump_json().encode())
        self.store.put("plans/p.json", plan.model_dump_json(by_alias=True).encode())

    def attempt(self, number: int = 1, last: Heartbeat | None = None) -> None:
        """Sets what Temporal tells an attempt of itself."""
        self.environment.info = ActivityEnvironment.default_info().__class__(
            **{
                **ActivityEnvironment.default_info().__dict__,
                "attempt": number,
                "heartbeat_details": [last] if last else [],
                "heartbeat_timeout": timedelta(seconds=0.3),
                "scheduled_time": datetime.now(UTC),
            }
        )

    def order(self, instance: str, **changes: Any) -> InstanceOrder:
        fields = {"deployment_id": "d-1", "run_id": "r-1", "instance": instance, "page": PAGE, "deadline_seconds": 600}
        return InstanceOrder.model_validate({**fields, **changes})

    async def deploy(self, instance: str, **changes: Any) -> Any:
        return await self.environment.run(self.activities.deploy_instance, self.order(instance, **changes))

    def report(self, instance: str) -> InstanceReport:
        return InstanceReport.model_validate_json(self.store.get(instance_key("d-1", instance)))

    def local(self, name: str = "demo-01") -> Target:
        return Target(name=name, address="here", zone="a", access=LocalAccess(root=str(self.path / name)))


def fake(name: str, **settings: Any) -> Target:
    return Target(name=name, access=FakeAccess(**settings))
