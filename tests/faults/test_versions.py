"""Workers of two versions on one rollout, and workers that cannot work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.harness.faults.site import FaultSite, WorkerProcess
from tests.harness.temporal import eventually

pytestmark = pytest.mark.slow

NEXT = (
    ("towline/__init__.py", '__version__ = "'),
    ("towline/model/messages/instance.py", "    only_ends: bool = False  # a stop came"),  # InstanceOrder
    ("towline/model/messages/instance.py", '    since: str = ""  # ISO 8601, when the phase began'),  # Heartbeat
    ("towline/model/group/group.py", '    deployment_group_id: str = ""'),  # DeploymentGroup, read by an activity
    ("towline/model/fleet/instance.py", "    root: str"),  # LocalSettings, frozen in the store
)
"""Where the next version has something more."""


def next_version(folder: Path) -> Path:
    """A copy of the project as it may look one release later: optional fields, another number, another runner."""
    for part in ("towline", "workflows", "activities"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "worker.py", folder)
    for name, place in NEXT:
        text = (folder / name).read_text()
        assert text.count(place) == 1, f"{name}: {place}"
        new = place + "9." if name == "towline/__init__.py" else f'    colour: str = "blue"\n{place}'
        (folder / name).write_text(text.replace(place, new))
    with (folder / "towline/host/runner/main.py").open("a") as runner:
        runner.write("\n# of the next version\n")
    return folder


async def at_work(site: FaultSite, **environ: str) -> WorkerProcess:
    worker = site.launch(**environ)
    await eventually(lambda: worker.is_at_work or worker.has_ended)
    assert not worker.has_ended, worker.log.read_text()
    return worker


@pytest.mark.parametrize("first", ["this version", "the next version"])
async def test_a_worker_of_another_version_takes_a_rollout_over(site: FaultSite, first: str) -> None:
    """Forward or back: both understand what the other one wrote, and who started a runner finishes with it."""
    newer = {"PYTHONPATH": str(next_version(site.folder / "next"))}
    one, other = ({}, newer) if first == "this version" else (newer, {})
    started = await at_work(site, **one)
    hosts = await site.declare_hosts(hosts=3)
    for host in hosts:
        host.hold("AfterInstall")
    await site.start("d-1")
    await site.begun(hosts[0], "d-1")
    await at_work(site, **other)
    hosts[0].let_go("AfterInstall")
    await site.begun(hosts[1], "d-1")  # both are there: either may have begun it
    started.kill()
    hosts[1].let_go("AfterInstall")
    await site.begun(hosts[2], "d-1")
    hosts[2].let_go("AfterInstall")
    view = await site.ended("d-1")
    assert view.info.status == "Succeeded", view
    site.check_counts("d-1", hosts)
    assert (await site.deploy("d-2", version="v2")).info.status == "Succeeded"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"TOWLINE_DATA_DIR": "file/data"}, "file/data"),
        ({"TOWLINE_STORE": "s4://bucket"}, "s4://bucket"),
        ({"TEMPORAL_NAMESPACE": "nowhere"}, "nowhere"),
    ],
    ids=["data folder", "kind of store", "namespace"],
)
async def test_a_worker_that_cannot_work_takes_no_work(site: FaultSite, environ: dict[str, str], told: str) -> None:
    (site.folder / "file").touch()
    broken = site.launch(**environ)
    await eventually(lambda: broken.has_ended)
    assert broken.process.returncode in (1, 2, 5)
    assert told in broken.log.read_text() and "Traceback" not in broken.log.read_text()


async def test_a_worker_with_another_store_than_those_at_work_takes_no_work(site: FaultSite) -> None:
    """Though it is one of the same name, as on another machine: what one freezes the other would not find."""
    await at_work(site)
    other = site.launch(TOWLINE_STORE=str(site.folder / "another"))
    await eventually(lambda: other.has_ended)
    said = other.log.read_text()
    assert other.process.returncode == 1 and "is not the one that other workers use" in said and "Traceback" not in said
    (site.folder / "same").symlink_to(site.environ["TOWLINE_STORE"])
    await at_work(site, TOWLINE_STORE=str(site.folder / "same"))
