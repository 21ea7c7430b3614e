"""What the store keeps of deployments: what they froze, what their instances wrote, reports, and the journal of ends.

The only reader and writer of these documents: keys are in `towline/model/deployment/store_keys.py`, and each document
has one type. All methods block. All raise OurFault where the store cannot be used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import BaseModel
from pydantic_core import to_json

from towline.errors import Conflict, NotFound, OurFault
from towline.model.deployment import store_keys as keys
from towline.model.deployment.listed import ListedDeployment
from towline.model.deployment.report import DeploymentReport
from towline.model.fleet.instance import Target
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.fleet import FleetPage
from towline.model.messages.instance import InstanceReport
from towline.model.messages.view import ReportWritten
from towline.model.rollout.order import natural
from towline.store import Store
from towline.store.journal import Journal
from towline.store.parallel import in_parallel

Document = TypeVar("Document", bound=BaseModel)


class DeploymentRecords:
    """The deployments' documents in one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.journal = Journal(store, "deployments")

    # ── what a deployment froze ──────────────────────────────────────────────────────────────────────────────────

    def freeze(self, order: DeploymentOrder, pages: Mapping[str, FleetPage]) -> None:
        """Writes what all instances of a deployment share, and how each is reached; `pages` by their keys."""
        documents = {**pages, keys.order_key(order.deployment_id): order}
        in_parallel(lambda item: self.store.put(item[0], item[1].model_dump_json().encode()), documents.items())

    def check_is_new(self, deployment_id: str, run_id: str) -> None:
        """Raises Conflict where another deployment of this id is on record: what it froze and recorded must stay.

        Temporal lets an id be used again by clients that start workflows without towline.
        """
        order = self.order(deployment_id)
        if order and order.run_id != run_id:
            raise Conflict(
                f"the id {deployment_id} is another deployment's, which is on record.",
                "Start it under an id of its own.",
                code="DEPLOYMENT_ID_TAKEN",
            )

    def order(self, deployment_id: str) -> DeploymentOrder | None:
        """What a deployment froze for its hosts; None where it never came so far, or it cannot be read."""
        return self._read_if_any(keys.order_key(deployment_id), DeploymentOrder)

    def frozen_order(self, deployment_id: str) -> DeploymentOrder:
        """The same of a deployment that has frozen it. Raises NotFound, OurFault where it cannot be read."""
        return self._read(keys.order_key(deployment_id), DeploymentOrder)

    def page(self, key: str) -> dict[str, Target]:
        """The targets of one page of a fleet, by name. Raises NotFound, OurFault where it cannot be read."""
        return {target.name: target for target in self._read(key, FleetPage).targets}

    def targets(self, deployment_id: str) -> dict[str, Target]:
        """A deployment's instances in rollout order, by name; empty where its fleet is not frozen, or no longer."""
        page_keys = sorted(self.store.keys(keys.fleet_prefix(deployment_id)), key=natural)
        pages = in_parallel(lambda key: self._read_if_any(key, FleetPage), page_keys)
        return {target.name: target for page in pages if page for target in page.targets}

    # ── what its instances wrote ─────────────────────────────────────────────────────────────────────────────────

    def put_instance(self, deployment_id: str, report: InstanceReport) -> None:
        """Writes an instance's record."""
        key = keys.instance_key(deployment_id, report.outcome.instance)
        self.store.put(key, report.model_dump_json(indent=1).encode())

    def put_log(self, deployment_id: str, instance: str, log: str) -> None:
        """Writes the scripts' log of an instance."""
        self.store.put(keys.log_key(deployment_id, instance), log.encode(errors="replace"))

    def instances(self, deployment_id: str, names: Iterable[str]) -> dict[str, InstanceReport]:
        """The records of those instances that have one that can be read."""

        def read(name: str) -> tuple[str, InstanceReport | None]:
            return name, self._read_if_any(keys.instance_key(deployment_id, name), InstanceReport)

        return {name: found for name, found in in_parallel(read, names) if found}

    def all_instances(self, deployment_id: str) -> dict[str, InstanceReport]:
        """Every record of a deployment's instances."""
        found = self.store.keys(keys.instances_prefix(deployment_id))
        reports = in_parallel(lambda key: self._read_if_any(key, InstanceReport), found)
        return {report.outcome.instance: report for report in reports if report}

    def log(self, deployment_id: str, instance: str) -> bytes | None:
        """The scripts' log of an instance, or None."""
        return self._get(keys.log_key(deployment_id, instance))

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────

    def page_address(self, deployment_id: str) -> str:
        """Where people find the page of a deployment's report."""
        return f"{self.store.address}/{keys.report_page_key(deployment_id)}"

    def put_report(self, report: DeploymentReport, page: str) -> ReportWritten:
        """Writes a report and its page, in the place of an earlier one, and its line into the journal."""
        info = report.view.info
        key = keys.report_key(info.deployment_id)
        self.store.put(key, to_json(report.as_json()))
        self.store.put(keys.report_page_key(info.deployment_id), page.encode())
        self.journal.append(ListedDeployment.of_view(report.view).as_entry())  # last: what is listed can be read
        return ReportWritten(key=key, address=self.page_address(info.deployment_id))

    def has_report(self, deployment_id: str) -> bool:
        """Whether a report was written."""
        return self.store.exists(keys.report_key(deployment_id))

    def report(self, deployment_id: str) -> DeploymentReport | None:
        """A deployment's report; None where none was written, or it cannot be read."""
        data = self._get(keys.report_key(deployment_id))
        try:
            return DeploymentReport.read(data) if data else None
        except ValueError:
            return None

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, key: str, kind: type[Document]) -> Document:
        data = self.store.get(key)
        try:
            return kind.model_validate_json(data)
        except ValueError as error:
            raise OurFault(f"{key} in the store cannot be read: {error}", code="StoreDamaged") from error

    def _read_if_any(self, key: str, kind: type[Document]) -> Document | None:
        """None also for what is torn or of a newer version: what it tells is known from elsewhere, or not at all."""
        data = self._get(key)
        try:
            return kind.model_validate_json(data) if data else None
        except ValueError:
            return None

    def _get(self, key: str) -> bytes | None:
        try:
            return self.store.get(key)
        except NotFound:
            return None
