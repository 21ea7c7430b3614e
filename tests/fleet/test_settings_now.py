"""How to reach a host is read at each connect: a towline.yaml that is mended and applied helps the open deployment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.fleet.box import Fleet
from tests.harness.site import Site, running_site
from tests.harness.temporal import TemporalServer, eventually

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]


def manifest(fleet: Fleet, key: Path) -> str:
    hosts = "".join(f"  - {{instanceName: {h.name}, tags: {{role: web}}, ssh: {{host: {h.address}}}}}\n" for h in fleet)
    return (
        "applications:\n"
        "  - applicationName: shop\n"
        "    deploymentGroups:\n"
        "      - deploymentGroupName: web\n"
        "        onPremisesInstanceTagFilters: [{Key: role, Value: web, Type: KEY_AND_VALUE}]\n"
        f"ssh: {{default: {{username: root, identityFile: {key}, knownHostsFile: {fleet.known_hosts}}}}}\n"
        f"instances:\n{hosts}"
    )


async def apply(site: Site, text: str) -> None:
    (site.folder / "towline.yaml").write_text(text)
    applied = await site.towline("apply", "-f", "towline.yaml", "--yes")
    assert applied.status == 0, applied.err


async def test_a_deployment_held_for_a_wrong_key_goes_on_once_the_mended_settings_are_applied(
    temporal: TemporalServer, new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = new_fleet(2)
    async with running_site(temporal, tmp_path) as site:
        await apply(site, manifest(fleet, Path("/nowhere/id_ed25519")))
        bundle = str(site.bundle("s1"))
        await site.towline("deploy", "shop", "web", "--revision", bundle, "--id", "d-held", "--detach")

        async def is_held() -> bool:
            told = (await site.towline("status", "d-held")).out
            return "control-plane error" in told and "/nowhere/id_ed25519 is missing" in told

        await eventually(is_held, seconds=120)
        await apply(site, manifest(fleet, fleet.key))
        done = await site.towline("status", "d-held", "--watch")
        assert done.status == 0, done.out + done.err
        assert [host.read("/srv/shop/index.html") for host in fleet] == ["s1\n", "s1\n"]
