"""`towline apply` and `towline instances` against a real Temporal: what they show, write, refuse, and end with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity, workflow
from temporalio.client import Client

from tests.harness import ROOT
from tests.harness.temporal import TemporalServer, running_worker
from towline.catalogue.repository import Catalogue, CatalogueConflict
from towline.cli.apply import ApplyOptions, apply_manifest
from towline.cli.instances import table_lines
from towline.deployments.instance_list import list_instances
from towline.errors import Conflict, InvalidManifest, NotFound
from towline.model import names
from towline.model.catalogue.records import Change
from towline.model.deployment.status import Outcome
from towline.model.fleet.ssh_paths import CheckPaths, PathFinding, PathFindings
from towline.model.manifest.parser import Manifest, parse_manifest
from towline.model.messages.group import GroupView, InstanceState, StatesPage
from workflows.catalogue import CatalogueWorkflow
from workflows.worker_call import CallWorker

pytestmark = pytest.mark.slow

YES = ApplyOptions(files=(), yes=True)

MANIFEST = """
owner: team-web
applications:
  - applicationName: shop
    deploymentGroups:
      - deploymentGroupName: production
        onPremisesInstanceTagFilters: [{Key: role, Value: web}]
ssh:
  default: {identityFile: ~/.ssh/id, knownHostsFile: /etc/towline/known_hosts}
instances:
  - {instanceName: "web-[01:12]", zone: a, tags: {role: web}}
  - {instanceName: db-1, tags: {role: db}}
"""


@activity.defn(name="check_paths")
async def check_paths(request: CheckPaths) -> PathFindings:
    """Stands in for the worker's: one path is there, the other is missing."""
    findings = [PathFinding(path="~/.ssh/id", resolved="/home/w/.ssh/id")]
    findings.append(PathFinding(path=request.paths[1], resolved=request.paths[1], problem="is missing"))
    return PathFindings(worker="worker-1", findings=tuple(findings))


@workflow.defn(name=names.GROUP, sandboxed=False)
class RememberingGroup:
    """Stands in for the group's workflow."""

    @workflow.run
    async def run(self, states: dict[str, InstanceState]) -> None:
        self._states = states
        await workflow.wait_condition(lambda: False)

    @workflow.query(name=names.STATUS)
    def status(self) -> GroupView:
        return GroupView(application="shop", group="production", group_id="g")

    @workflow.query
    def states(self, page: StatesPage) -> dict[str, InstanceState]:
        return {name: self._states[name] for name in sorted(self._states) if name > page.after}


@pytest_asyncio.fixture
async def client(temporal: TemporalServer) -> AsyncIterator[Client]:
    client = await temporal.new_namespace()
    workflows = [CatalogueWorkflow, CallWorker, RememberingGroup]
    async with running_worker(client, workflows=workflows, activities=[check_paths], task_queue=names.TASK_QUEUE):
        yield client


def read(text: str) -> Manifest:
    manifest = parse_manifest(text, file="towline.yaml", folder="/srv")
    assert manifest.errors == []
    return manifest


async def run(client: Client, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs `towline WORDS` as a process without a terminal, with this test's Temporal."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from towline.cli.main import main; main()"
    environment = os.environ | {
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": client.namespace,
    }
    return await asyncio.to_thread(
        lambda: subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    )


async def test_the_command_shows_asks_for_yes_applies_and_is_then_content(client: Client, tmp_path: Path) -> None:
    (tmp_path / "towline.yaml").write_text(MANIFEST)
    refused = await run(client, "apply", "-f", "towline.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "+ group shop/production" in refused.stdout
    assert "+ instances db-1, web-[01:12]" in refused.stdout
    assert "shop/production: 12 instances: web-[01:12]" in refused.stdout
    assert "--yes" in refused.stderr
    looked = await run(client, "apply", "-f", "towline.yaml", "--dry-run", cwd=tmp_path)
    assert looked.returncode == 0
    assert await Catalogue(client).read_all("group") == {}
    done = await run(client, "apply", "-f", "towline.yaml", "--yes", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-2:] == [
        "Applied: 16 added.",
        "Next: towline deploy shop production --revision PATH",
    ]
    assert "  ~/.ssh/id → /home/w/.ssh/id" in done.stderr
    missing = (
        "  /etc/towline/known_hosts is missing. Make it with: ssh-keyscan HOST >> /etc/towline/known_hosts, and compare"
    )
    assert missing in done.stderr
    again = await run(client, "apply", "-f", "towline.yaml", cwd=tmp_path)
    assert again.returncode == 0
    assert "Nothing to change: 16 records are as declared." in again.stdout


async def test_a_host_that_a_group_has_under_two_names_is_told(client: Client, tmp_path: Path) -> None:
    twice = "  - {instanceName: web-13, tags: {role: web}, ssh: {host: WEB-07}}\n"
    (tmp_path / "towline.yaml").write_text(MANIFEST + twice)
    done = await run(client, "apply", "-f", "towline.yaml", "--yes", cwd=tmp_path)
    assert done.returncode == 0
    assert "shop/production: web-07 and web-13 are one host: web-07 port 22. It counts as one." in done.stderr


async def test_a_group_that_loses_its_members_is_warned_of_and_asked_about_once_more(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "towline.yaml").write_text(MANIFEST)
    await run(client, "apply", "-f", "towline.yaml", "--yes", cwd=tmp_path)
    (tmp_path / "towline.yaml").write_text(MANIFEST.replace("Value: web", "Value: wbe"))
    for answers, status in (("y\nn\n", 1), ("y\ny\n", 0)):
        done, screen = await on_a_terminal(client, tmp_path, answers)
        assert done == status, screen
        assert "shop/production has no instance: a deployment to it would fail." in screen
        assert "shop/production loses 12 of its 12 instances, web-[01:12]" in screen
        assert "Is that meant for shop/production?" in screen


async def test_problems_are_told_with_file_and_line_before_temporal_is_asked(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("instances:\n  - {instanceNam: x}\n")
    (tmp_path / "b.yaml").write_text("owner: [x]\n")
    found = await run(client, "apply", "-f", "a.yaml", "b.yaml", "--yes", cwd=tmp_path)
    assert found.returncode == 2
    assert "a.yaml line 2, instances[0].instanceNam: no such key. Did you mean instanceName?" in found.stderr
    assert "b.yaml line 1, owner: must be text" in found.stderr


async def on_a_terminal(client: Client, folder: Path, answers: str) -> tuple[int, str]:
    """Runs `towline apply` with a terminal for its questions; its exit status and what the terminal showed."""
    ours, theirs = pty.openpty()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from towline.cli.main import main; main()"
    environment = os.environ | {
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": client.namespace,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, "apply", "-f", "towline.yaml"],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    await asyncio.to_thread(process.communicate, timeout=60)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends that no process has open any more
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    return process.returncode, shown.decode()


@pytest.mark.parametrize(("answer", "status", "count"), [("y", 0, 13), ("n", 1, 0)])
async def test_on_a_terminal_it_asks(client: Client, tmp_path: Path, answer: str, status: int, count: int) -> None:
    (tmp_path / "towline.yaml").write_text(MANIFEST)
    done, _ = await on_a_terminal(client, tmp_path, f"{answer}\n")
    assert done == status
    assert len(await Catalogue(client).instances()) == count


async def test_a_change_shows_fields_and_who_moves_between_groups(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await apply_manifest(client, read(MANIFEST), YES)
    capsys.readouterr()
    changed = MANIFEST.replace("db-1, tags: {role: db}", "db-1, zone: b, tags: {role: web}")
    changed = changed.replace('"web-[01:12]"', '"web-[01:10]"')
    await apply_manifest(client, read(changed), ApplyOptions(files=(), yes=True, prune=True))
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert "  ~ instance db-1\n      tags.role: db → web\n      zone: b\n" in shown or (
        "  ~ instance db-1\n      zone: b\n      tags.role: db → web\n" in shown
    )
    assert "  - instances web-11, web-12\n" in shown
    assert "      gains db-1\n      loses web-11, web-12\n" in shown
    assert "Plan: 0 to add, 1 to change, 2 to remove, 13 unchanged." in shown


async def test_settings_that_nobody_declared_are_refused(client: Client) -> None:
    with pytest.raises(InvalidManifest) as error:
        await apply_manifest(client, read("instances: [{instanceName: a, ssh: {use: dc1}}]"), YES)
    assert "no ssh settings named dc1" in str(error.value.problems[0])


class Overtaken(Catalogue):
    """A catalogue in which somebody else writes just before we do."""

    def __init__(self, client: Client, other: Iterable[Change]) -> None:
        super().__init__(client, by="me")
        self._other = list(other)
        self._theirs = Catalogue(client, by="other@elsewhere")

    async def write(self, changes: Iterable[Change], **options: Any) -> dict[str, int]:
        other, self._other = self._other, []
        if other:
            await self._theirs.write(other)
        return await super().write(changes, **options)


async def test_whoever_is_second_is_refused_and_told_and_overwrites_nothing(client: Client) -> None:
    await apply_manifest(client, read(MANIFEST), YES)
    record = (await Catalogue(client).read(["instance/db-1"]))["instance/db-1"]
    theirs = {**record.value, "tags": {"role": "db", "tier": "gold"}}
    catalogue = Overtaken(client, [Change(key=record.key, version=record.version, value=theirs)])
    mine = read(MANIFEST.replace("db-1, tags", "db-1, zone: b, tags"))
    with pytest.raises(Conflict, match=r"instance/db-1 \(by other@elsewhere at .*0 of 1 changes were made") as error:
        await apply_manifest(client, mine, YES, catalogue=catalogue)
    assert isinstance(error.value.__cause__, CatalogueConflict)
    assert (await Catalogue(client).read([record.key]))[record.key].value == theirs


async def test_two_who_apply_at_once_lose_nothing(client: Client) -> None:
    one = read("instances: [{instanceName: 'one-[1:300]', zone: a}, {instanceName: both, zone: a}]")
    two = read("instances: [{instanceName: 'two-[1:300]', zone: a}, {instanceName: both, zone: b}]")
    ends = await asyncio.gather(
        apply_manifest(client, one, YES), apply_manifest(client, two, YES), return_exceptions=True
    )
    refused = [end for end in ends if isinstance(end, Conflict)]
    assert all(isinstance(end, Conflict) or end == 0 for end in ends)
    instances = await Catalogue(client).instances()
    if not refused:  # one was done before the other had read: then it has changed what it saw
        assert len(instances) == 601
        return
    (loser,) = (manifest for manifest, end in zip((one, two), ends, strict=True) if isinstance(end, Conflict))
    (winner,) = (manifest for manifest in (one, two) if manifest is not loser)
    assert all(instances[key.partition("/")[2]].zone == value["zone"] for key, value in winner.records.items())
    assert await apply_manifest(client, loser, YES) == 0
    assert len(await Catalogue(client).instances()) == 601


async def test_ten_thousand_instances_are_applied_and_read_back(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MANIFEST.replace("web-[01:12]", "web-[00001:09999]")
    assert await apply_manifest(client, read(text), YES) == 0
    assert len(await Catalogue(client).instances()) == 10_000
    assert await apply_manifest(client, read(text.replace("zone: a", "zone: b")), YES) == 0
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert "  ~ instances web-[00001:09999]\n      zone: a → b\n" in shown
    assert {record.zone for record in (await Catalogue(client).instances()).values()} == {"b", ""}


# ── instances ──


async def test_instances_joins_members_with_what_the_group_remembers(client: Client, tmp_path: Path) -> None:
    await apply_manifest(client, read(MANIFEST.replace("web-[01:12]", "web-[01:02]")), YES)
    group = await Catalogue(client).group("shop", "production")
    assert group
    ok: dict[str, Any] = {"deployment_id": "d-1", "revision": "s3://b/app.tgz", "sha256": "ab"}
    states = {
        "web-01": InstanceState(outcome=Outcome.SUCCEEDED, is_healthy=True, **ok),
        "gone-1": InstanceState(outcome=Outcome.NOT_RESTORED, not_restored=True, **ok),
    }
    await client.start_workflow(
        names.GROUP,
        states,
        id=names.group_workflow_id(group.deployment_group_id),
        task_queue=names.TASK_QUEUE,
        task_timeout=timedelta(seconds=5),
    )
    lines = [line.split("  ") for line in table_lines((await list_instances(client)).instances)]
    table = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert table[1:] == [
        ["gone-1", "shop/production", "not restored", "s3://b/app.tgz", "d-1", "not restored, no longer in the group"],
        ["web-01", "shop/production", "a", "web-01", "succeeded", "s3://b/app.tgz", "d-1"],
        ["web-02", "shop/production", "a", "web-02", "never deployed"],
        ["db-1", "(none)", "db-1", "never deployed"],
    ]
    shown = await run(client, "instances", "shop", "--json", cwd=tmp_path)
    assert shown.returncode == 0
    first = json.loads(shown.stdout)[1]
    assert (first["instanceName"], first["deploymentId"], first["isHealthy"]) == ("web-01", "d-1", True)
    with pytest.raises(NotFound, match=r"Did you mean shop/production\?"):
        await list_instances(client, "shop/producton")
