"""Deployments by Temporal's own command line alone: started, watched, steered and read without any command of ours."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.harness import ROOT
from tests.harness.site import Done, Site, running_site
from tests.harness.temporal import TemporalServer, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A worker, and three groups of the application `shop`."""
    async with running_site(temporal, tmp_path_factory.mktemp("alone")) as site:
        await site.declare("shop", "production", count=3, rollback=True)
        await site.declare("shop", "slow", fake={"seconds": 60}, deploymentConfigName="CodeDeployDefault.OneAtATime")
        await site.declare("shop", "played", fake={"seconds": 0.1})
        yield site


async def start(site: Site, deployment_id: str, group: str, revision: Any = None, **more: Any) -> None:
    """Starts a deployment as CI would."""
    request = {"applicationName": "shop", "deploymentGroupName": group, "revision": revision or SHIPPED, **more}
    words = ["--type", "Deployment", "--task-queue", "towline", "--workflow-id", deployment_id]
    done = await site.temporal("workflow", "start", *words, "--input", json.dumps(request))
    assert done.status == 0, done.err


SHIPPED: dict[str, Any] = {}
"""The revision that all groups of this file can run; filled by the first test's bundle."""


@pytest.fixture(autouse=True)
def shipped(site: Site) -> None:
    """One revision for all tests."""
    if not SHIPPED:
        SHIPPED.update(site.stored(site.bundle("v1")))


async def status(site: Site, deployment_id: str) -> dict[str, Any]:
    """What the query `status` answers."""
    done = await site.temporal("workflow", "query", "-w", deployment_id, "--type", "status", "-o", "json")
    assert done.status == 0, done.err
    view: dict[str, Any] = done.json["queryResult"][0]
    return view


async def result(site: Site, deployment_id: str) -> Done:
    """Waits for the end."""
    return await site.temporal("workflow", "result", "-w", deployment_id)


async def in_flight(site: Site, deployment_id: str) -> None:
    """Waits until an instance is being deployed to."""

    async def is_flying() -> bool:
        return bool((await status(site, deployment_id))["progress"]["in_flight"])

    await eventually(is_flying)


async def test_a_deployment_that_succeeds(site: Site) -> None:
    await start(site, "d-GOOD", "production", description="from CI")
    done = await result(site, "d-GOOD")
    assert done.status == 0, done.out + done.err
    assert '"status":"Succeeded"' in done.out.replace(" ", "")
    assert [(site.root(f"production-{n}") / "srv/shop/index.html").read_text() for n in (1, 2, 3)] == ["v1\n"] * 3
    assert (await status(site, "d-GOOD"))["info"]["description"] == "from CI"


async def test_a_failed_one_names_script_instance_and_last_lines_and_what_became_of_the_fleet(site: Site) -> None:
    await start(site, "d-BEFORE", "production")
    assert (await result(site, "d-BEFORE")).status == 0
    bad = site.stored(site.bundle("v2", "echo disk full >&2; exit 3"))
    await start(site, "d-BAD", "production", bad)
    done = await result(site, "d-BAD")
    assert done.status != 0
    for told in (
        "Failed: shop/production d-BAD (HEALTH_CONSTRAINTS)",
        ": AfterInstall failed in scripts/after.sh",
        "exit code 3",
        "[stderr]disk full",
        "the same on production-",
        ": 3 of 3 instances are back.",
        "All changed instances were rolled back.",
    ):
        assert told in done.out, told
    assert (site.root("production-1") / "srv/shop/index.html").read_text() == "v1\n"


async def test_the_web_ui_finds_names_and_shows_it(site: Site) -> None:
    """Search attributes, names of activities and the Markdown of the user's page."""
    await start(site, "d-SEEN", "production")
    assert (await result(site, "d-SEEN")).status == 0

    async def is_listed() -> bool:
        query = 'TowlineGroup="production" AND TowlineApplication="shop" AND TowlineStatus="Succeeded"'
        listed = await site.temporal("workflow", "list", "--query", query, "-o", "json")
        return "d-SEEN" in [one["execution"]["workflowId"] for one in listed.json]

    await eventually(is_listed)
    revision = await site.temporal(
        "workflow", "list", "--query", 'TowlineRevision STARTS_WITH "bundle-v1"', "-o", "json"
    )
    assert "d-SEEN" in revision.out
    summaries = await summaries_of(site, "d-SEEN/shard-001")
    root = site.root("production-1")
    assert f"production-1 · {root}" in summaries
    assert "bundle-v1 (sha256" in (await summaries_of(site, "d-SEEN"))[1]
    details = await site.temporal("workflow", "metadata", "-w", "d-SEEN")
    assert "**shop / production** · Succeeded" in details.out
    assert "3 of 3 succeeded" in details.out


async def summaries_of(site: Site, workflow_id: str) -> list[str]:
    """The names that the Web UI shows of a workflow's activities, in order."""
    history = json.loads(await site.history(workflow_id))
    scheduled = [e for e in history["events"] if e["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"]
    return [_text(e.get("userMetadata", {}).get("summary")) for e in scheduled]


def _text(payload: dict[str, str] | None) -> str:
    return json.loads(base64.b64decode(payload["data"])) if payload else ""


@pytest.mark.parametrize("word", ["", "{}"])
async def test_signals_with_and_without_an_input(site: Site, word: str) -> None:
    name = f"d-SIGNAL{len(word)}"
    given = ["--input", word] if word else []
    await start(site, name, "slow")
    await in_flight(site, name)

    async def send(signal: str) -> None:
        done = await site.temporal("workflow", "signal", "-w", name, "--name", signal, *given)
        assert done.status == 0, done.err

    await send("pause")
    assert (await status(site, name))["progress"]["text"].startswith("pausing, 1 in flight: slow-")
    await send("resume")
    assert (await status(site, name))["progress"]["paused"] == ""
    await send("cancel")
    done = await result(site, name)
    assert done.status != 0
    assert "Stopped: shop/slow" in done.out
    assert "MANUAL_STOP" in done.out


async def test_what_cannot_be_read_stops_nothing_but_a_stop(site: Site) -> None:
    await start(site, "d-NOISE", "slow")
    await in_flight(site, "d-NOISE")
    for name, *inputs in (
        ("pause", "1", "2"),
        ("resume", "1", "2"),
        ("turn", '"x"', "2"),
        ("turn",),
        ("shard_progress", '{"index": "x"}'),
        ("shard_progress",),
        ("nonsense", "{}"),
    ):
        words = [word for text in inputs for word in ("--input", text)]
        assert (await site.temporal("workflow", "signal", "-w", "d-NOISE", "--name", name, *words)).status == 0
        assert (await status(site, "d-NOISE"))["progress"]["in_flight_count"] == 1, name
    shard = ["workflow", "signal", "-w", "d-NOISE/shard-001", "--name", "orders", "--input", '{"lease": 3}']
    assert (await site.temporal(*shard)).status == 0
    update = ["workflow", "update", "execute", "-w", "d-NOISE", "--name", "pause", "--input", "1", "--input", "2"]
    assert (await site.temporal(*update)).status == 0
    stop = ["workflow", "signal", "-w", "d-NOISE", "--name", "cancel", "--input", '"x"', "--input", "2"]
    assert (await site.temporal(*stop)).status == 0
    assert "Stopped: shop/slow d-NOISE" in (await result(site, "d-NOISE")).out


async def test_updates_answer_and_refuse(site: Site) -> None:
    await start(site, "d-UPDATE", "slow")
    await in_flight(site, "d-UPDATE")

    async def update(name: str, *more: str) -> Done:
        return await site.temporal(
            "workflow", "update", "execute", "-w", "d-UPDATE", "--name", name, *more, "-o", "json"
        )

    paused = await update("pause")
    assert paused.json["result"]["status"] == "Pausing", paused.out
    resumed = await update("resume")
    assert resumed.json["result"]["status"] == "Running", resumed.out
    wrong = await update("cancel", "--input", '{"rolback": false}')
    assert wrong.status != 0
    assert "rolback: no such key. Did you mean rollback?" in wrong.out + wrong.err
    assert (await status(site, "d-UPDATE"))["progress"]["stopping"] is False
    stopped = await update("cancel", "--input", '{"reason": "lunch"}')
    assert stopped.json["result"]["status"] in ("Pending", "Succeeded"), stopped.out
    done = await result(site, "d-UPDATE")
    assert "MANUAL_STOP): lunch" in done.out


async def test_temporals_own_cancel_only_stops_it_in_order(site: Site) -> None:
    await start(site, "d-CANCEL", "slow")
    await in_flight(site, "d-CANCEL")
    assert (await site.temporal("workflow", "cancel", "-w", "d-CANCEL")).status == 0
    done = await result(site, "d-CANCEL")
    assert "Stopped: shop/slow d-CANCEL (MANUAL_STOP): cancelled in Temporal" in done.out
    assert (await site.temporal("workflow", "describe", "-w", "d-CANCEL")).out.count("FAILED") == 1


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("d-TYPO", {"aplicationName": "shop", "deploymentGroupName": "played"}, "Did you mean applicationName?"),
        ("d-NONE", None, "a JSON object is needed"),
        ("d-LIST", [1], "a JSON object is needed"),
        ("not/an/id", {"applicationName": "shop", "deploymentGroupName": "played"}, "becomes a path on hosts"),
        ("d-NOREV", {"applicationName": "shop", "deploymentGroupName": "played"}, "exactly one of revision and undo"),
    ],
)
async def test_a_wrong_input_ends_with_its_problems(site: Site, name: str, given: Any, told: str) -> None:
    words = ["--type", "Deployment", "--task-queue", "towline", "--workflow-id", name]
    done = await site.temporal("workflow", "start", *words, "--input", json.dumps(given))
    assert done.status == 0, done.err
    ended = await result(site, name)
    assert ended.status != 0
    assert told in ended.out
    assert "InvalidRequest" in ended.out


@pytest.mark.parametrize("inputs", [0, 2])
async def test_started_without_an_input_or_with_two_it_ends_too(site: Site, inputs: int) -> None:
    name = f"d-INPUTS{inputs}"
    words = ["--type", "Deployment", "--task-queue", "towline", "--workflow-id", name]
    assert (await site.temporal("workflow", "start", *words, *["--input", "{}"] * inputs)).status == 0
    ended = await result(site, name)
    assert ended.status != 0
    assert "a JSON object is needed" in ended.out


async def test_a_terminated_one_lets_the_next_one_have_its_turn(site: Site) -> None:
    await start(site, "d-KILLED", "slow")
    await in_flight(site, "d-KILLED")
    await start(site, "d-NEXT", "slow")

    async def is_behind() -> bool:
        return "waits in the queue behind d-KILLED" in (await status(site, "d-NEXT"))["progress"]["text"]

    await eventually(is_behind)
    assert (await site.temporal("workflow", "terminate", "-w", "d-KILLED", "--reason", "by hand")).status == 0
    await in_flight(site, "d-NEXT")
    assert (await site.temporal("workflow", "signal", "-w", "d-NEXT", "--name", "cancel")).status == 0
    assert (await result(site, "d-NEXT")).status != 0


def test_the_page_names_what_is_tested_here() -> None:
    """docs/temporal.md shows the commands that this file runs."""
    page = (ROOT / "docs/temporal.md").read_text()
    for command in (
        "workflow start",
        "workflow result",
        "workflow signal",
        "workflow update execute",
        "workflow query",
    ):
        assert f"temporal {command}" in page
