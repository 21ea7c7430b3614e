"""The SSH transport against real OpenSSH: whom it trusts, how it starts the runner, what its errors say."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from tests.harness import ROOT
from tests.harness.fleet.box import USER, Fleet
from tests.harness.standin import SOURCE
from towline.errors import AuthenticationRefused, HostKeyRefused, HostRefused, OurFault, Unreachable
from towline.model.fleet.instance import Target
from towline.model.host.events import Answer, HostRefusal, LogText
from towline.model.host.order import question_order
from towline.transports import TransportPool, ask, open_transport
from towline.transports.bootstrap import Runner

pytestmark = pytest.mark.fleet

LAUNCHER = ROOT / "deploy" / "towline-launcher"
CACHE = "/var/lib/towline/runner"


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[TransportPool]:
    async with TransportPool() as pool:
        yield pool


async def inventory(target: Target, pool: TransportPool) -> Answer:
    """A small order through the whole path."""
    return await ask(open_transport(target, pool), question_order("inventory", target))


def code_of(answer: Answer) -> str:
    assert isinstance(answer, HostRefusal)
    return answer.code


def private_known_hosts(fleet: Fleet, tmp_path: Path, text: str) -> str:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return str(path)


# ── start of the runner ──────────────────────────────────────────────────────────────────────────────────────────


async def test_runner_is_sent_once_and_kept_root_owned(fleet: Fleet, pool: TransportPool) -> None:
    host, target = fleet["web-01"], fleet.target("web-01")
    host.run(f"rm -rf {CACHE}")
    assert (await inventory(target, pool)).kind == "inventory"
    kept = host.run(f"stat -c '%U %a' /var/lib/towline {CACHE}; ls {CACHE}")
    assert kept.startswith("root 700\nroot 700\n")
    assert f"towline_runner_{pool.runner.sha256}.py" in kept
    before = host.run(f"stat -c '%i %Y' {CACHE}/*.py")
    assert (await inventory(target, pool)).kind == "inventory"
    assert host.run(f"stat -c '%i %Y' {CACHE}/*.py") == before
    assert "cpython" in host.run(f"ls {CACHE}/__pycache__")


async def test_order_stays_out_of_the_process_list(fleet: Fleet, tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_bytes(SOURCE)
    async with TransportPool(runner_file=runner) as pool:
        transport = open_transport(fleet.target("web-01"), pool)
        async with transport:
            order = {"do": "deploy", "x_script": ["started", "listen"], "url": "https://s3/?X-Amz-Signature=hunter2"}
            await transport.start_or_attach(order)
            events = transport.follow()
            assert (await anext(events)).kind == "started"
            processes = fleet["web-01"].run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' ' '")
            assert runner_name(pool.runner) not in processes and pool.runner.sha256 in processes
            assert "hunter2" not in processes
            await events.aclose()


def runner_name(runner: Runner) -> str:
    return f"towline_runner_{runner.sha256}.py"


async def test_damaged_runner_on_the_way_is_refused(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = Runner(SOURCE + b"# bit rot", Runner.of(SOURCE + b"# whole").sha256)
    monkeypatch.setattr(TransportPool, "runner", damaged)
    async with TransportPool() as pool:
        answer = await inventory(fleet.target("web-01"), pool)
    assert (answer.kind, code_of(answer)) == ("refused", "RunnerDamaged")
    assert runner_name(damaged) not in fleet["web-01"].run(f"ls {CACHE}")


async def test_state_folder_that_others_can_write_is_refused(fleet: Fleet, pool: TransportPool) -> None:
    host = fleet["web-02"]
    await inventory(fleet.target("web-02"), pool)
    host.run(f"chmod 777 {CACHE}")
    answer = await inventory(fleet.target("web-02"), pool)
    host.run(f"chmod 700 {CACHE}")
    assert (answer.kind, code_of(answer)) == ("refused", "StateDirUnsafe")


async def test_platform_python_is_found_where_there_is_no_python3(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)
    host = fleet["web-01"]
    host.run("mkdir -p /usr/libexec; cp /usr/bin/python3 /usr/libexec/platform-python; rm /usr/bin/python3*")
    target = fleet.target("web-01", python=None)
    async with TransportPool() as pool:
        assert (await inventory(target, pool)).kind == "inventory"
        host.run("rm /usr/libexec/platform-python")
        answer = await inventory(target, pool)
    assert (answer.kind, code_of(answer)) == ("refused", "NoPython")
    assert isinstance(answer, HostRefusal) and "ssh.python" in answer.hint


async def test_shell_that_greets_and_dislikes_line_ends_does_no_harm(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)
    host = fleet["web-01"]
    host.write("/root/.bashrc", "echo Welcome to production; echo '{not json'\n")
    async with TransportPool() as pool:
        assert (await inventory(fleet.target("web-01"), pool)).kind == "inventory"


async def test_login_without_a_shell_says_so(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)
    fleet["web-01"].run(f"usermod -s /usr/sbin/nologin {USER}")
    async with TransportPool() as pool:
        with pytest.raises(HostRefused, match="currently not available") as error:
            await inventory(fleet.target("web-01", username=USER), pool)
    assert error.value.code == "RunnerNotStarted"


# ── root by sudo ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_sudo_that_is_not_allowed_is_explained(fleet: Fleet, pool: TransportPool) -> None:
    with pytest.raises(HostRefused, match="sudo") as error:
        await inventory(fleet.target("web-03", username=USER), pool)
    assert error.value.code == "SudoRefused"
    assert "docs/ssh.md" in error.value.hint


async def test_plain_sudo_works(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)
    fleet["web-01"].write("/etc/sudoers.d/towline", f"{USER} ALL=(root) NOPASSWD: ALL\n", 0o440)
    async with TransportPool() as pool:
        assert (await inventory(fleet.target("web-01", username=USER), pool)).kind == "inventory"


async def test_pinned_launcher_is_all_that_sudoers_has_to_allow(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)
    host, path = fleet["web-01"], "/usr/local/sbin/towline-launcher"
    host.write(path, LAUNCHER.read_text(), 0o755)
    host.write("/etc/sudoers.d/towline", f"{USER} ALL=(root) NOPASSWD: {path}\n", 0o440)
    target = fleet.target("web-01", username=USER, launcher=path)
    async with TransportPool() as pool:
        assert (await inventory(target, pool)).kind == "inventory"  # the runner is sent
        assert (await inventory(target, pool)).kind == "inventory"  # and is there
        assert host.run(f"stat -c %U {CACHE}/*.py") == "root\n"
        with pytest.raises(HostRefused, match="sudo"):
            await inventory(fleet.target("web-01", username=USER), pool)


@pytest.mark.parametrize("arguments", ["", "../../etc/passwd", "ab", "a b", f"{'a' * 64} -c", f"{'A' * 64}"])
def test_launcher_takes_nothing_but_a_digest(can_box: None, arguments: str) -> None:
    done = subprocess.run(["sh", str(LAUNCHER), *shlex.split(arguments)], capture_output=True, check=False)
    assert done.returncode == 64


# ── whom to trust ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_unknown_host_is_refused_with_the_command_that_trusts_it(
    fleet: Fleet, pool: TransportPool, tmp_path: Path
) -> None:
    file = private_known_hosts(fleet, tmp_path, "")
    target = fleet.target("web-01", known_hosts_file=file)
    with pytest.raises(HostKeyRefused) as error:
        await inventory(target, pool)
    assert fingerprint(fleet["web-01"].host_key) in error.value.message
    command = error.value.hint.partition(": ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert (await inventory(target, pool)).kind == "inventory"


async def test_changed_key_shows_both_fingerprints_and_its_command_mends_it(
    fleet: Fleet, pool: TransportPool, tmp_path: Path
) -> None:
    address = fleet["web-01"].address
    file = private_known_hosts(
        fleet, tmp_path, f"{address} {fleet['web-02'].host_key}\nother {fleet['web-02'].host_key}\n"
    )
    target = fleet.target("web-01", known_hosts_file=file)
    with pytest.raises(HostKeyRefused) as error:
        await inventory(target, pool)
    for name in ("web-01", "web-02"):
        assert fingerprint(fleet[name].host_key) in error.value.message
    command = error.value.hint.partition(": ")[2]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert (await inventory(target, pool)).kind == "inventory"
    assert "other " in Path(file).read_text()


async def test_certificate_authority_vouches_for_hosts(new_fleet: Callable[..., Fleet], tmp_path: Path) -> None:
    fleet = new_fleet(1, sshd="HostCertificate /etc/ssh/fleet/host_key-cert.pub")
    host, authority = fleet["web-01"], asyncssh.generate_private_key("ssh-ed25519")
    key = asyncssh.import_public_key(host.host_key)
    certificate = authority.generate_host_certificate(key, "web-01", principals=[host.address])
    host.write("/etc/ssh/fleet/host_key-cert.pub", certificate.export_certificate().decode())
    host.power_off()
    fleet.boot(host)
    file = private_known_hosts(fleet, tmp_path, f"@cert-authority 10.213.* {authority.export_public_key().decode()}")
    async with TransportPool() as pool:
        assert (await inventory(fleet.target("web-01", known_hosts_file=file), pool)).kind == "inventory"


async def test_login_that_is_refused_names_host_user_and_key(fleet: Fleet, pool: TransportPool, tmp_path: Path) -> None:
    key = write_key(tmp_path / "stranger")
    with pytest.raises(AuthenticationRefused, match="stranger"):
        await inventory(fleet.target("web-01", identity_file=key), pool)


async def test_key_is_rotated_without_a_restart(fleet: Fleet, pool: TransportPool, tmp_path: Path) -> None:
    path = tmp_path / "id"
    write_key(path)
    target = fleet.target("web-01", identity_file=str(path))
    with pytest.raises(AuthenticationRefused):
        await inventory(target, pool)
    path.write_bytes(fleet.key.read_bytes())
    assert (await inventory(target, pool)).kind == "inventory"


async def test_several_keys_are_tried_and_a_missing_one_does_no_harm(
    fleet: Fleet, pool: TransportPool, tmp_path: Path
) -> None:
    keys = (str(tmp_path / "not-yet"), write_key(tmp_path / "old"), str(fleet.key))
    assert (await inventory(fleet.target("web-01", identity_file=keys), pool)).kind == "inventory"


@pytest.mark.parametrize("file", ["identity_file", "known_hosts_file"])
async def test_missing_file_of_ours_is_our_fault(fleet: Fleet, pool: TransportPool, file: str) -> None:
    with pytest.raises(OurFault, match="is missing"):
        await inventory(fleet.target("web-01", **{file: "/nowhere/file"}), pool)


async def test_named_configuration_file_tells_how_to_reach_a_host(
    fleet: Fleet, pool: TransportPool, tmp_path: Path
) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host shop\n  HostName {fleet['web-01'].address}\n  User root\n  IdentityFile {fleet.key}\n"
        f"  UserKnownHostsFile {fleet.known_hosts}\n"
    )
    settings = {"identity_file": None, "known_hosts_file": None, "host": "shop", "config": str(config), "sudo": False}
    assert (await inventory(fleet.target("web-01", username=None, **settings), pool)).kind == "inventory"


async def test_jump_of_a_configuration_file_is_a_shared_bastion(
    new_fleet: Callable[..., Fleet], pool: TransportPool, tmp_path: Path
) -> None:
    fleet = new_fleet(3, bastion=True)
    config = tmp_path / "ssh_config"
    jump = f"{USER}@{fleet['bastion'].address}"
    config.write_text(
        f"Host 10.214.*\n  ProxyJump {jump}\n  User root\n"
        f"Host *\n  IdentityFile {fleet.key}\n  UserKnownHostsFile {fleet.known_hosts}\n"
    )
    settings = {"identity_file": None, "known_hosts_file": None, "config": str(config), "sudo": False, "username": None}
    targets = [fleet.target(host.name, proxy_jump=None, **settings) for host in fleet]
    answers = await asyncio.gather(*(inventory(target, pool) for target in targets))
    assert [answer.kind for answer in answers] == ["inventory"] * 3
    assert (fleet.folder / "bastion" / "log").read_text().count("Accepted publickey") == 1


async def test_workers_own_configuration_is_not_read(
    fleet: Fleet, pool: TransportPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  User nobody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await inventory(fleet.target("web-01"), pool)).kind == "inventory"


# ── the line ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_host_that_is_off_is_unreachable(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)
    fleet["web-01"].power_off()
    async with TransportPool() as pool:
        with pytest.raises(Unreachable):
            await inventory(fleet.target("web-01", connect_timeout_seconds=0.5), pool)


async def test_port_that_nobody_listens_on_is_unreachable(fleet: Fleet, pool: TransportPool) -> None:
    with pytest.raises(Unreachable, match="Connection refused"):
        await inventory(fleet.target("web-01", port=2222), pool)


async def test_stalled_line_is_noticed(
    new_fleet: Callable[..., Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towline.transports.ssh_hops.KEEPALIVE_SECONDS", 0.3)
    fleet, runner = new_fleet(1), tmp_path / "runner.py"
    runner.write_bytes(SOURCE)
    async with TransportPool(runner_file=runner) as pool, open_transport(fleet.target("web-01"), pool) as transport:
        await transport.start_or_attach({"do": "deploy", "x_script": ["started", "listen"]})
        events = transport.follow()
        assert [(await anext(events)).kind for _ in range(2)] == ["started", "log"]
        fleet["web-01"].unplug()
        with pytest.raises(Unreachable):
            await anext(events)


async def test_archive_goes_through_the_connection_byte_for_byte(fleet: Fleet, tmp_path: Path) -> None:
    body, runner = tmp_path / "body", tmp_path / "runner.py"
    body.write_bytes(bytes(range(256)) * 20_000)
    runner.write_bytes(SOURCE)
    async with TransportPool(runner_file=runner) as pool, open_transport(fleet.target("web-01"), pool) as transport:
        await transport.start_or_attach({"do": "deploy", "x_script": ["archive"]})
        events = []
        async for event in transport.follow():
            events.append(event)
            if event.kind == "need":
                await transport.send({"reply": "archive", "size": body.stat().st_size}, body)
    assert isinstance(events[2], LogText) and events[2].text == str(sum(range(256)) * 20_000)


# ── bastions ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_all_hosts_share_one_connection_to_the_bastion(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(12, bastion=True, bastion_sshd="MaxStartups 2:100:2")
    async with TransportPool() as pool:
        answers = await asyncio.gather(*(inventory(fleet.target(host.name), pool) for host in fleet))
        assert {answer.kind for answer in answers} == {"inventory"}
        logins = (fleet.folder / "bastion" / "log").read_text().count("Accepted publickey")
    assert logins == 1


async def test_bastion_that_is_gone_or_refuses_is_our_fault(new_fleet: Callable[..., Fleet], tmp_path: Path) -> None:
    fleet = new_fleet(1, bastion=True)
    async with TransportPool() as pool:
        target = fleet.target("web-01", connect_timeout_seconds=0.5)
        await inventory(target, pool)
        fleet["bastion"].power_off()
        with pytest.raises(OurFault, match="the bastion") as error:
            await until_noticed(target, pool)
        assert error.value.code == "BastionUnreachable"
        fleet.boot(fleet["bastion"])
        assert (await inventory(target, pool)).kind == "inventory"  # it is mended by itself
        with pytest.raises(OurFault) as error:
            await inventory(fleet.target("web-01", identity_file=write_key(tmp_path / "stranger")), pool)
        assert error.value.code == "BastionAuthenticationRefused"


async def until_noticed(target: Target, pool: TransportPool) -> None:
    """A line that lay idle learns of a power cut with the next word on it."""
    with contextlib.suppress(Unreachable):
        await inventory(target, pool)
    await inventory(target, pool)


async def test_host_behind_a_bastion_that_is_off_is_its_own_fault(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(2, bastion=True)
    fleet["web-02"].run("kill 1", check=False)
    fleet["web-02"].power_off()
    async with TransportPool() as pool:
        with pytest.raises(Unreachable):
            await inventory(fleet.target("web-02", connect_timeout_seconds=0.5), pool)
        assert (await inventory(fleet.target("web-01"), pool)).kind == "inventory"


async def test_bastion_that_forbids_forwarding_is_our_fault(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1, bastion=True, bastion_sshd="AllowTcpForwarding no")
    async with TransportPool() as pool:
        with pytest.raises(OurFault, match="does not forward") as error:
            await inventory(fleet.target("web-01"), pool)
    assert error.value.code == "BastionRefused"


def write_key(path: Path) -> str:
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.write_bytes(key.export_private_key())
    return str(path)


def fingerprint(public: str) -> str:
    return asyncssh.import_public_key(public).get_fingerprint()
