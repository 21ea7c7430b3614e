"""The documents of deployments in a store: what is written is read back, in the order of the rollout and of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.reports import invented
from towline.errors import Conflict, NotFound, OurFault
from towline.model.deployment.report import merge
from towline.model.deployment.store_keys import instance_key, order_key, page_key, report_key
from towline.model.fleet.instance import FakeAccess, Target
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.fleet import FleetPage
from towline.store import open_store
from towline.store.deployment_records import DeploymentRecords

ORDER = DeploymentOrder(deployment_id="d-1", run_id="r-1", application="shop", group="web", group_id="g")


@pytest.fixture
def records(tmp_path: Path) -> DeploymentRecords:
    return DeploymentRecords(open_store(str(tmp_path)))


def page(*names: str) -> FleetPage:
    return FleetPage(targets=tuple(Target(name=name, access=FakeAccess()) for name in names))


def test_targets_come_in_rollout_order_also_of_more_than_ten_pages(records: DeploymentRecords) -> None:
    pages = {page_key("d-1", number): page(f"web-{number}") for number in range(12)}
    records.freeze(ORDER, pages)
    assert list(records.targets("d-1")) == [f"web-{number}" for number in range(12)]
    assert records.frozen_order("d-1") == records.order("d-1") == ORDER
    assert list(records.page(page_key("d-1", 3))) == ["web-3"]


def test_another_deployment_of_an_id_is_refused_and_the_same_is_not(records: DeploymentRecords) -> None:
    records.check_is_new("d-1", "r-1")
    records.freeze(ORDER, {})
    records.check_is_new("d-1", "r-1")
    with pytest.raises(Conflict, match="another deployment's"):
        records.check_is_new("d-1", "r-2")


def test_what_is_torn_counts_as_not_there_and_what_must_be_there_as_our_fault(records: DeploymentRecords) -> None:
    with pytest.raises(NotFound):
        records.frozen_order("d-1")
    for key in (order_key("d-1"), instance_key("d-1", "web-1"), report_key("d-1"), page_key("d-1", 0)):
        records.store.put(key, b'{"torn')
    assert records.order("d-1") is None and records.report("d-1") is None
    assert not records.instances("d-1", ["web-1"]) and not records.all_instances("d-1") and not records.targets("d-1")
    with pytest.raises(OurFault, match="cannot be read"):
        records.frozen_order("d-1")


def test_instances_and_logs_are_read_back(records: DeploymentRecords) -> None:
    _, reports = invented(3, failed=1)
    for report in reports.values():
        records.put_instance("d-1", report)
    records.put_log("d-1", "web-001", "hello \ud800")  # a half of a character, as a script may write it
    assert records.instances("d-1", ["web-001", "web-009"]) == {"web-001": reports["web-001"]}
    assert records.all_instances("d-1") == reports
    assert (records.log("d-1", "web-001"), records.log("d-1", "web-002")) == (b"hello ?", None)


def test_each_report_leaves_a_line_in_the_journal(records: DeploymentRecords) -> None:
    record, reports = invented(1, failed=0)
    for day, deployment_id in ((1, "d-OLD"), (3, "d-NEW"), (2, "d-MID")):
        update = {"deployment_id": deployment_id, "create_time": f"2025-01-0{day}T00:00:00Z"}
        info = record.info.model_copy(update=update)
        written = records.put_report(merge(record.model_copy(update={"info": info}), reports), "<page>")
        assert written.address == records.page_address(deployment_id)
    assert {entry["deploymentId"] for entry in records.journal.read_new()} == {"d-NEW", "d-MID", "d-OLD"}
    assert records.has_report("d-NEW") and not records.has_report("d-NONE")
    found = records.report("d-NEW")
    assert found and found.view.info.deployment_id == "d-NEW" and list(found.details) == ["web-001"]
