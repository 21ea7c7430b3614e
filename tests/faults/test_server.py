"""Temporal's server is killed in the middle of a rollout and comes back with its SQLite file."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import Client

from tests.harness.faults.site import FaultSite, is_alive
from tests.harness.temporal import eventually
from towline.devserver import dev_server, free_port
from towline.temporal import DATA_CONVERTER

pytestmark = pytest.mark.slow


async def test_temporal_killed_in_the_middle_of_a_hook_and_started_again(tmp_path: Path) -> None:
    port, ui_port, db = free_port(), free_port(), tmp_path / "temporal.db"
    async with dev_server(db=db, port=port, ui_port=ui_port) as server:
        client = await Client.connect(server.address, data_converter=DATA_CONVERTER)
        site = FaultSite.at(tmp_path, server.address, client)
        try:
            worker = await site.start_worker()
            hosts = await site.declare_hosts(hosts=2)
            hosts[0].hold("AfterInstall")
            await site.start("d-1")
            run = await site.begun(hosts[0], "d-1")
            server.process.kill()
            server.process.wait()
            assert is_alive(run.pid) and is_alive(hosts[0].runner_pid("d-1"))
            hosts[0].let_go("AfterInstall")
            # The runner needs nobody: its journal comes to an end while Temporal is away.
            await eventually(lambda: hosts[0].journal("d-1")[-1]["kind"] == "finished")
            async with dev_server(db=db, port=port, ui_port=ui_port):
                view = await site.ended("d-1")
                assert view.info.status == "Succeeded"
                site.check_counts("d-1", hosts)
                assert not worker.has_ended, "the worker outlives the server"
        finally:
            site.close()
            print(*(worker.log.read_text()[-4000:] for worker in site.workers))
