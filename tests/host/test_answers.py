"""Orders with one answer: inventory, plan, check, logs; and orders that cannot be taken."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.agent_cases import place
from tests.harness.host.local_host import RUNNER, Call, LocalHost, plan_of, script, tar_of

ONE = tar_of({"app/same.txt": "same", "app/old.txt": "old", "app/other.txt": "1", "stop.sh": "#!/bin/sh\n"})
TWO_FILES = {"app/same.txt": "same", "app/new.txt": "new", "app/other.txt": "2", "start.sh": "#!/bin/sh\n"}
TWO = tar_of(TWO_FILES)
PLAN_ONE = plan_of({"app": "/srv/app"}, {"ApplicationStop": [script("stop.sh")]})
PLAN_TWO = plan_of({"app": "/srv/app"}, {"ApplicationStart": [script("start.sh")], "ApplicationStop": [script("x.sh")]})


def listing(files: dict[str, str]) -> list[dict[str, Any]]:
    members = [
        {"path": name, "type": "file", "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for name, text in files.items()
    ]
    return [{"path": "app", "type": "directory"}, *members]


def everything(host: LocalHost) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(host.root.rglob("*"))}


def test_a_plan_tells_what_would_change_and_touches_nothing(host: LocalHost) -> None:
    host.deploy("d-1", ONE, PLAN_ONE)
    before = everything(host)
    with host.call("plan", "d-2", TWO, plan=PLAN_TWO, files=listing(TWO_FILES)) as call:
        answer = call.finish()
    app = host.path("/srv/app")
    assert answer["removed"] == [f"{app}/old.txt"]
    assert answer["added"] == [f"{app}/new.txt"]
    assert answer["changed"] == [f"{app}/other.txt"]
    assert answer["unchanged"] == 1
    assert answer["run"] == [
        {"event": "ApplicationStop", "location": "stop.sh"},
        {"event": "ApplicationStart", "location": "start.sh"},
    ]
    assert answer["runs_now"]["deployment"] == "d-1" and answer["complete"] is True
    assert everything(host) == before


def test_a_plan_of_an_archive_that_is_here_needs_no_listing(host: LocalHost) -> None:
    host.deploy("d-1", ONE, PLAN_ONE)
    with host.call("plan", "d-2", ONE, plan=PLAN_ONE) as call:
        assert call.finish()["unchanged"] == 3
    with host.call("plan", "d-2", TWO, plan=PLAN_TWO) as call:
        assert call.finish()["complete"] is False


def test_a_plan_from_a_list_follows_links_to_directories_as_the_install_will(host: LocalHost) -> None:
    members = [
        *listing({"app/real/a.txt": "a"}),
        {"path": "app/link", "type": "symlink", "target": "real"},
        {"path": "app/alone", "type": "symlink", "target": "../gone"},
    ]
    with host.call("plan", "d-1", TWO, plan=plan_of({"app": "/srv/app"}), files=members) as call:
        app = host.path("/srv/app")
        assert call.finish()["added"] == [f"{app}/alone", f"{app}/link/a.txt", f"{app}/real/a.txt"]


def test_a_plan_tells_what_would_make_install_fail(host: LocalHost) -> None:
    host.path("/srv/app").mkdir(parents=True)
    host.path("/srv/app/new.txt").write_text("the user's")
    with host.call("plan", "d-2", TWO, plan=PLAN_TWO, files=listing(TWO_FILES)) as call:
        assert "already exists at this location" in call.finish()["problem"]


def test_an_empty_host_has_an_empty_inventory(host: LocalHost) -> None:
    assert host.ask("inventory")["groups"] == {}


def test_inventory_tells_what_is_installed_from_what_succeeded(host: LocalHost) -> None:
    host.deploy("d-1", ONE, PLAN_ONE)
    host.deploy("d-2", TWO, plan_of({"app": "/srv/app"}, {"AfterInstall": [script("missing.sh")]}))
    found = host.ask("inventory")["groups"]["group-1"]
    assert found["installed"]["deployment"] == "d-2" and found["succeeded"]["deployment"] == "d-1"
    assert found["succeeded"]["sha256"] == hashlib.sha256(ONE).hexdigest()


def test_one_host_under_two_names_is_told_by_its_machine(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(host.root)
    answers = [host.ask("inventory"), host.ask("check", instance="web-02"), LocalHost(tmp_path / "link").ask("plan")]
    assert len({answer["machine"] for answer in answers}) == 1
    assert LocalHost(tmp_path / "other").ask("inventory")["machine"] != answers[0]["machine"]


def test_check_says_what_is_missing(host: LocalHost) -> None:
    permission = {"object": "/srv", "context": {"type": "bin_t"}, "type": ["file"]}
    env = {**os.environ, "PATH": "/nowhere"}
    plan = plan_of(permissions=[permission])
    with LocalHost(host.root, env=env).call("check", plan=plan) as call:
        answer = call.finish()
    findings = {finding["name"]: finding for finding in answer["findings"]}
    assert set(findings) == {"python", "root", "disk", "clock", "aws-agent", "roots", "tools"}
    assert findings["roots"]["ok"] and findings["disk"]["ok"]
    assert not findings["tools"]["ok"] and "semanage" in findings["tools"]["message"]


def test_logs_are_the_script_log(host: LocalHost) -> None:
    archive = tar_of({"say.sh": "#!/bin/sh\necho said\n"})
    host.deploy("d-1", archive, plan_of(hooks={"AfterInstall": [script("say.sh")]}))
    assert host.ask("logs", deployment="d-1")["text"].endswith("[stdout]said\n")


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"do": "dance"},
        {"deployment": "../d"},
        {"deployment": "d" * 65},
        {"group": {"id": "a/b", "name": "n", "application": "a"}},
        {"root": "relative"},
        {"plan": None},
        {"revision": None},
        {"events": "Install"},
    ],
    ids=str,
)
def test_an_order_that_cannot_be_one_is_refused(host: LocalHost, change: dict[str, Any]) -> None:
    order = {**host.order("deploy", "d-1", ONE, plan=PLAN_ONE), **change}
    with Call(order) as call:
        assert call.finish()["code"] == "InvalidOrder"
    assert not host.root.exists()


def test_what_belongs_to_the_connection_is_not_in_a_script_s_environment(host: LocalHost) -> None:
    secret = {"SSH_CONNECTION": "1", "SUDO_USER": "x", "AWS_SECRET_ACCESS_KEY": "s", "TEMPORAL_API_KEY": "s"}
    archive = tar_of({"env.sh": "#!/bin/sh\nenv\n"})
    here = LocalHost(host.root, env={**os.environ, **secret, "MINE": "kept"})
    plan = plan_of(hooks={"AfterInstall": [script("env.sh")]})
    here.deploy("d-1", archive, plan)
    seen = here.ask("logs", deployment="d-1")["text"]
    assert "[stdout]MINE=kept\n" in seen and f"[stdout]TOWLINE_ROOT={host.root}\n" in seen
    assert not [name for name in secret if name in seen]


SYSTEM_PYTHON = Path("/usr/bin/python3")  # others may run it; the one of the tests may be in somebody's home


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="needs a Python that every user may run")
def test_a_runner_that_is_not_root_works_below_its_own_root() -> None:
    """It owns nothing that it may not, runs scripts as itself, and says clearly what only root could do."""
    archive = tar_of({"app/a.txt": "a", "id.sh": "#!/bin/sh\nid -u\n"})
    with place("non-root") as somewhere:
        somewhere.chmod(0o777)
        runner = somewhere / "runner.py"
        shutil.copy(RUNNER, runner)
        host = LocalHost(somewhere / "host", str(SYSTEM_PYTHON), runner=runner, user=pwd.getpwnam("nobody").pw_uid)
        own = plan_of({"app": "/srv"}, {"AfterInstall": [script("id.sh", runas="nobody")]})
        assert host.deploy("d-1", archive, own).events[-1]["outcome"] == "succeeded"
        assert "[stdout]65534\n" in host.ask("logs", deployment="d-1")["text"]
        other = plan_of(hooks={"AfterInstall": [script("id.sh", runas="daemon")]})
        end = host.deploy("d-2", archive, other).events[-1]
        assert end["error_code"] == 4 and "the runner is not root" in end["message"]
        owner = plan_of({"app": "/srv"}, permissions=[{"object": "/srv", "owner": "daemon"}])
        end = host.deploy("d-3", archive, owner).events[-1]
        assert end["failed_event"] == "Install" and "only root" in end["message"]
        assert host.path("/srv/a.txt").exists() is False


@pytest.mark.skipif(not Path("/etc/profile").exists() or not shutil.which("bash"), reason="needs bash and /etc/profile")
def test_scripts_on_a_real_host_have_the_environment_of_etc_profile(tmp_path: Path) -> None:
    source = ["bash", "--norc", "-c", ". /etc/profile >/dev/null 2>&1; echo $PATH"]
    bare = {"PATH": "/usr/bin:/bin", "LC_CTYPE": "C.UTF-8"}
    expected = subprocess.run(source, env=bare, capture_output=True, text=True, check=True).stdout.strip()
    archive = tar_of({"env.sh": "#!/bin/sh\nenv\n"})
    places = {"root": "", "deployment_root": f"{tmp_path}/d", "state_dir": f"{tmp_path}/s", "allow_aws_agent": True}
    host = LocalHost(tmp_path, env=bare)
    call = host.deploy("d-1", archive, plan_of(hooks={"AfterInstall": [script("env.sh")]}), **places)
    seen = "".join(event["text"] for event in call.kinds("log"))
    assert f"[stdout]PATH={expected}\n" in seen and "TOWLINE_ROOT" not in seen and "LC_CTYPE" not in seen
