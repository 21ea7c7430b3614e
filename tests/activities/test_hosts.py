"""ask_hosts: many hosts, one question; a host without an answer is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.hosts import HostActivities
from tests.harness.activity_bench import Bench, fake
from towline.model.bundle.listing import Listing, Member
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import order_key
from towline.model.fleet.instance import LocalAccess, Target
from towline.model.host.events import HostFindings, HostPlan, Inventory, PlannedScript, ScriptLog
from towline.model.host.order import AskHosts, HostAnswer
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.fleet import FleetPage
from towline.transports import TransportPool


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.attempt()
    return bench


async def asked(bench: Bench, question: AskHosts) -> dict[str, HostAnswer]:
    activities = HostActivities(bench.store, TransportPool(hosts=bench.hosts), host="here")
    answers = await ActivityEnvironment().run(activities.ask_hosts, question)
    return {answer.instance: answer for answer in answers.answers}


def frozen(bench: Bench) -> DeploymentOrder:
    return DeploymentOrder.model_validate_json(bench.store.get(order_key("d-1")))


async def test_hosts_that_do_not_answer_are_told_apart(bench: Bench) -> None:
    there = Target(name="far-01", access=LocalAccess(root="/srv/far", host="there"))
    targets = (fake("web-01"), fake("web-02", unreachable=True), there)
    answers = await asked(bench, AskHosts(do="inventory", targets=targets))
    assert answers["web-01"].answer == Inventory(groups={})
    codes = {name: answer.fault.code for name, answer in answers.items() if answer.fault}
    assert codes == {"web-02": "Unreachable", "far-01": "LocalElsewhere"}


async def test_targets_come_from_pages_and_can_be_narrowed(bench: Bench) -> None:
    page = FleetPage(targets=(fake("web-01"), fake("web-02")))
    bench.store.put("fleet/0.json", page.model_dump_json().encode())
    question = AskHosts(do="check", pages=("fleet/0.json",), instances=("web-02",))
    assert list(await asked(bench, question)) == ["web-02"]


async def test_a_real_host_tells_what_it_runs_what_an_order_would_do_and_its_log(bench: Bench) -> None:
    target = bench.local()
    files = {"hook.sh": "#!/bin/sh\necho hello\n", "app/index.html": "v1"}
    hooks = {"AfterInstall": [{"location": "hook.sh"}]}
    bench.freeze(target, files=files, hooks=hooks, install={"app": "/srv/app"})
    listing = Listing(
        members=(
            Member(path="app", type="directory", mode="0755"),
            Member(path="app/index.html", type="file", sha256="ab" * 32),
            Member(path="hook.sh", type="file", mode="0755"),
        )
    )
    bench.store.put("listings/l.json", listing.model_dump_json().encode())
    question = AskHosts(do="plan", targets=(target,), order=frozen(bench), files_key="listings/l.json")
    plan = (await asked(bench, question))["demo-01"].answer
    assert isinstance(plan, HostPlan) and plan.complete
    assert plan.added == (str(bench.path / "demo-01/srv/app/index.html"),)
    assert plan.run == (PlannedScript(event="AfterInstall", location="hook.sh"),)
    assert not (bench.path / "demo-01/srv").exists()

    assert (await bench.deploy("demo-01")).outcome is Outcome.SUCCEEDED
    inventory = (await asked(bench, AskHosts(do="inventory", targets=(target,))))["demo-01"].answer
    assert isinstance(inventory, Inventory)
    installed = inventory.groups["g-1"].succeeded
    assert installed and installed.deployment == "d-1"
    log = (await asked(bench, AskHosts(do="logs", targets=(target,), order=frozen(bench))))["demo-01"].answer
    assert isinstance(log, ScriptLog) and "hello" in log.text
    check = (await asked(bench, AskHosts(do="check", targets=(target,), order=frozen(bench))))["demo-01"].answer
    assert isinstance(check, HostFindings) and {finding.name for finding in check.findings} >= {
        "python",
        "disk",
        "roots",
    }


@pytest.mark.parametrize("do", ["plan", "logs"])
async def test_question_that_needs_an_order_and_has_none_is_refused(bench: Bench, do: str) -> None:
    with pytest.raises(ApplicationError) as error:
        await asked(bench, AskHosts.model_validate({"do": do, "targets": [fake("web-01")]}))
    assert error.value.type == "InvalidRequest"
