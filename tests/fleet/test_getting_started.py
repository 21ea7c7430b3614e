"""What docs/getting-started.md has people run on their hosts lets towline in; its lines are run as they stand there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from tests.harness.fleet.box import USER, Fleet
from towline.errors import AuthenticationRefused
from towline.model.host.order import question_order
from towline.transports import TransportPool, ask, open_transport

pytestmark = pytest.mark.fleet

PAGE = Path(__file__).parents[2] / "docs/getting-started.md"


def block(first: str) -> str:
    """The indented lines of the page that begin with this one."""
    lines = PAGE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"    {first}"))
    end = next(number for number in range(start, len(lines)) if not lines[number].startswith("    "))
    return "\n".join(line.strip() for line in lines[start:end])


async def test_the_lines_for_a_host_let_the_worker_in_and_make_it_root(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)  # its sshd has `UsePAM no`
    host, target = fleet["web-01"], fleet.target("web-01", username=USER)
    host.run(f"userdel --remove --force {USER} 2>&1 || true")
    public = asyncssh.read_private_key(str(fleet.key)).export_public_key().decode()
    host.write("/root/worker_key.pub", public)
    done = host.run(f"cd /root; set -e\n{block('useradd --create-home')}")
    assert "parsed OK" in done
    assert host.run("stat -c '%a %U' /etc/sudoers.d/towline") == "440 root\n"
    async with TransportPool() as pool:

        async def kind() -> str:
            return str((await ask(open_transport(target, pool), question_order("inventory", target))).kind)

        assert await kind() == "inventory"
        host.run(f"usermod --password '!' {USER}")  # as useradd leaves it without the `*`
        with pytest.raises(AuthenticationRefused):
            await kind()
        assert f"`usermod --password '*' {USER}`" in PAGE.read_text()
        host.run(f"usermod --password '*' {USER}")
        assert await kind() == "inventory"
