"""Runs a recorded case of AWS's agent (tests/cases/agent, its README has the format) through the real runner.

The control side's part is done by the control side's own `parse_appspec`. One difference holds for every case and is
handled here: what the agent finds wrong in an AppSpec in the middle of a deployment, towline finds before the first
host is touched. Such a deployment must not compile; the events that the agent had run before are then run with an empty
plan, so that the host is as recorded for the deployments that follow.
"""

from __future__ import annotations

import gzip
import json
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness import ROOT
from tests.harness.host.agent_bundles import act, content_of, env_of, nested_prefix, put, tar_of_items, zip_of
from tests.harness.host.agent_compare import BEFORE_TIME, REFUSED_BY_LOCAL_ENTRY, Seen, compare, tree_of
from tests.harness.host.local_host import Call, revision_of, unbase
from towline.model.appspec.parser import parse_appspec
from towline.model.appspec.plan import CompiledPlan

CASES = ROOT / "tests/cases/agent"
DEFAULT_EVENTS = [
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
]
NORMAL_USER = "cdgolden"
Json = dict[str, Any]


def load(name: str) -> Json:
    """A case by its file's name without the ending."""
    case: Json = json.loads((CASES / f"{name}.json").read_text())
    return {**case, "file": name}


def names() -> list[str]:
    return sorted(path.stem for path in CASES.glob("*.json"))


def make_user() -> None:
    """The normal user that the recordings were made with."""
    try:
        pwd.getpwnam(NORMAL_USER)
    except KeyError:
        command = ["useradd", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh", NORMAL_USER]
        subprocess.run(command, check=True, capture_output=True)


class AgentCase:
    """One case on one place of its own.

    `refused_there` has the numbers of deployments that the agent refuses for their AppSpec and towline takes: they are
    compiled, and then run no further than the agent ran them, so that the rest of the case stays comparable.
    """

    def __init__(self, case: Json, place: Path, refused_there: Collection[int] = ()) -> None:
        self.name = str(case["file"])
        self.case = case
        self.refused_there = refused_there
        self.contents: dict[
            str, list[bytes | None]
        ] = {}  # path -> what it had, before and at the end of each deployment
        self.dest, self.root, self.state = place / "dest", place / "root", place / "state"
        for path in (place, self.dest, self.root):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        self.environment = {name: self.placed(value) for name, value in case["agent"]["env"].items()}
        for item in case["pre_state"]:
            put(self.real(item["path"]), item, self, BEFORE_TIME)

    def placed(self, text: str) -> str:
        return text.replace("{dest}", str(self.dest)).replace("{root}", str(self.root))

    def real(self, path: str) -> str:
        return self.placed(path)

    def run(self) -> list[Seen]:
        """Every deployment, in order, compared."""
        seen = []
        for number, deployment in enumerate(self.case["deployments"], 1):
            for action in deployment.get("before") or []:
                act(self, action)
            one = self.deploy(deployment, number in self.refused_there)
            self.look(deployment, one)
            unstable = [item for item in self.case["unstable"] if item["deployment"] == number]
            compare(self, deployment, one, unstable)
            seen.append(one)
            time.sleep(deployment["options"].get("wait_after_seconds") or 0)
        return seen

    # -- one deployment

    def deploy(self, deployment: Json, refused_there: bool) -> Seen:
        seen = Seen(deployment["expected"], refused_there=refused_there)
        options = deployment["options"]
        if deployment["expected"]["failed_event"] == REFUSED_BY_LOCAL_ENTRY:
            return Seen(deployment["expected"], outcome="failed")  # of an order of events that towline never makes
        archive, bundle_type = self.bundle(deployment["bundle"])
        plan = self.compile(deployment, seen)
        events = self.events_of(deployment)
        seen.compiled = plan is not None
        if plan is None or refused_there:
            events = self.events_before_appspec(events, deployment["expected"])
            plan = CompiledPlan()
        order = {
            "v": 1,
            "do": "deploy",
            "deployment": deployment["deployment_id"],
            "run": "run-1",
            "instance": "host",
            "after": 0,
            "log_after": 0,
            "root": "",
            "deployment_root": str(self.root),
            "state_dir": str(self.state),
            "group": {
                "id": options["group_id"],
                "name": options["group_name"],
                "application": options["application_name"],
            },
            "creator": options.get("deployment_creator") or "user",
            "type": options.get("deployment_type") or "IN_PLACE",
            "events": events,
            "file_exists_behavior": options.get("file_exists_behavior"),
            "revision": revision_of(archive, bundle_type, env_of(options.get("revision"))),
            "plan": plan.model_dump(mode="json", by_alias=True),
            "url": None,
            "limits": {"lock_wait": 10, "max_revisions": self.case["agent"]["max_revisions"]},
            "allow_aws_agent": True,
            "profile": False,  # the recorded environments are exact
        }
        with Call(order, env=self.environment) as call:
            seen.end = call.finish(archive)
        seen.events = [event for event in call.kinds("event_ended") if event["status"] != "Skipped"]
        seen.warnings = [event["message"] for event in call.kinds("warning")]
        seen.outcome = str(seen.end.get("outcome", seen.end["kind"]))
        return seen

    def events_of(self, deployment: Json) -> list[str]:
        """The order of events: as recorded where the case chose its events, since the local entry sorts them anew."""
        asked = deployment["options"].get("events")
        if not asked:
            return list(DEFAULT_EVENTS)
        return [item["event"] for item in deployment["expected"]["events"]]

    def events_before_appspec(self, events: list[str], expected: Json) -> list[str]:
        """Those that the agent ran before it met the AppSpec that does not compile."""
        failed = expected["failed_event"]
        if failed not in events:
            return events
        at = events.index(failed)
        return events[: at + 1] if failed in events[: events.index("DownloadBundle") + 1] else events[:at]

    def compile(self, deployment: Json, seen: Seen) -> CompiledPlan | None:
        name, text = self.appspec_of(deployment)
        if text is None:
            seen.problems = ["no AppSpec"]
            return None
        checked = parse_appspec(text, name)
        seen.problems = [str(problem) for problem in checked.problems]
        return checked.value

    def appspec_of(self, deployment: Json) -> tuple[str, bytes | None]:
        """The AppSpec that the control side would find: the given name, else appspec.yml, else appspec.yaml."""
        bundle = deployment["bundle"]
        files = {item["path"]: item for item in bundle.get("files") or []}
        own = bundle.get("appspec_path", "appspec.yml")
        text = self.appspec_bytes(bundle)
        if text is not None:
            files[own] = {"type": "f", "path": own, "bytes": text}
        prefix = nested_prefix(files)
        for name in (deployment["options"].get("appspec_filename"), "appspec.yml", "appspec.yaml"):
            item = files.get(f"{prefix}{name}")
            if item and item["type"] == "f":
                return str(name), item.get("bytes", content_of(self, item))
        return own, None

    def appspec_bytes(self, bundle: Json) -> bytes | None:
        if "appspec_base64" in bundle:
            return unbase(bundle["appspec_base64"]).replace(b"{dest}", str(self.dest).encode())
        text = bundle.get("appspec")
        return None if text is None else self.placed(text).encode("utf-8", "surrogateescape")

    # -- bundles

    def bundle(self, bundle: Json) -> tuple[bytes, str]:
        """(archive, type). A directory, which only the agent's local entry takes, goes as a tar."""
        kind = str({"directory": "tar"}.get(bundle["type"], bundle["type"]))
        if bundle.get("raw_base64") is not None:
            return unbase(bundle["raw_base64"]), kind
        items = list(bundle.get("files") or [])
        text = self.appspec_bytes(bundle)
        if text is not None:
            own = {"path": bundle.get("appspec_path", "appspec.yml"), "type": "f", "mode": "0644", "bytes": text}
            items.insert(0, own)
        if kind == "zip":
            return zip_of(self, items), kind
        data = tar_of_items(self, items)
        return (gzip.compress(data, mtime=0) if kind == "tgz" else data), kind

    # -- what is there afterwards

    def look(self, deployment: Json, seen: Seen) -> None:
        options = deployment["options"]
        seen.tree = tree_of(self, self.dest)
        cleanup = self.root / "deployment-instructions" / f"{options['group_id']}-cleanup"
        seen.cleanup = None
        if cleanup.exists():
            text = cleanup.read_bytes().decode("utf-8", "surrogateescape")
            seen.cleanup = sorted(self.unplaced(line) for line in text.split("\n")[:-1])
        log = self.root / options["group_id"] / deployment["deployment_id"] / "logs" / "scripts.log"
        if log.exists():
            lines = log.read_bytes().decode("utf-8", "replace")
            seen.scripts_log = self.unplaced(
                re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", lines, flags=re.MULTILINE), deployment
            )

    def unplaced(self, text: str, deployment: Json | None = None) -> str:
        if deployment:
            archive = (
                f"{self.root}/{deployment['options']['group_id']}/{deployment['deployment_id']}/deployment-archive"
            )
            text = text.replace(archive, "{archive}")
        text = text.replace(str(self.dest), "{dest}").replace(str(self.root), "{root}")
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@contextmanager
def place(name: str) -> Iterator[Path]:
    """A directory that every user may enter, in memory where that can be had."""
    memory = Path("/dev/shm")
    base = memory if memory.is_dir() and os.access(memory, os.W_OK) else Path("/tmp")
    path = base / f"towline-case-{os.getpid()}-{name[:3]}"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
