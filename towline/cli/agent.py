"""The work of `towline agent`: invitations, and what is known of the hosts that poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from towline.agents.heard import Heard, read_heard
from towline.agents.install import install_script
from towline.agents.keys import AgentKeys
from towline.cli import render
from towline.cli.event_loop import with_client
from towline.cli.output import info, result, result_json, warn
from towline.codedeploy_agents.access_keys import HostAccessKeys
from towline.creator import whoami
from towline.deployments.service import DeploymentService
from towline.errors import InvalidInput, TowlineError
from towline.model.fleet.agent_records import AgentRecord
from towline.model.rollout.order import natural

LOOPBACK = ("127.0.0.1", "localhost", "::1")
CA_ON_HOST = "/etc/towline-ca.pem"
HEADERS = ("INSTANCE", "KEY", "LAST POLL", "VERSION", "CLOCK", "FROM")


def invite(names: Sequence[str], endpoint: str, ca: Path | None, as_script: bool, hours: float) -> None:
    """Prints what to run on each host. Raises InvalidInput, TemporalUnavailable."""
    _check_endpoint(endpoint)
    if as_script and len(names) > 1:
        raise InvalidInput("--script makes the script of one instance.", "Name one.")
    authority = ca.read_text(encoding="utf-8") if ca else ""
    tokens = with_client(lambda service: _invite(service, names, hours))
    if as_script:
        from towline.agents.agent_file import packaged_agent

        (name,) = names
        script = install_script(packaged_agent(), name=name, endpoint=endpoint, token=tokens[name], ca=authority)
        result(script.rstrip("\n"))
        return
    for name, token in tokens.items():
        result(f"{name}:")
        result(f"  {_install_command(name, endpoint, token, has_ca=bool(ca))}")
    if ca:
        info(f"Before that, copy {ca} to each host as {CA_ON_HOST}, or use --script, which carries it.")
    info(f"Run it as root on the host, within {hours:g} h. It works once.")


async def _invite(service: DeploymentService, names: Sequence[str], hours: float) -> dict[str, str]:
    declared = await service.catalogue.instances()
    for name in names:
        if not name.startswith("i-") and (name not in declared or declared[name].agent is None):
            warn(f"{name} is not declared with `agent: {{}}`: nothing is deployed to it until it is.")
    return await AgentKeys(service.catalogue).invite(names, by=whoami(), seconds=hours * 3600)


def _check_endpoint(endpoint: str) -> None:
    url = urlsplit(endpoint)
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
        raise InvalidInput(
            f"{endpoint} is no endpoint for agents.", "It begins with https:// (http:// on loopback only)."
        )


def _install_command(name: str, endpoint: str, token: str, *, has_ca: bool) -> str:
    curl, option = (f" --cacert {CA_ON_HOST}", f" --ca {CA_ON_HOST}") if has_ca else ("", "")
    return (
        f"curl -fsS{curl} {endpoint.rstrip('/')}/agent/install.sh | "
        f"TOWLINE_TOKEN={token} sh -s -- --name {name} --endpoint {endpoint}{option}"
    )


def revoke(name: str) -> None:
    """Takes a host's keys. Raises HostRefused where it has none, TemporalUnavailable."""
    with_client(lambda service: _revoke(service, name))
    info(f"{name}: revoked. Nothing is deployed to it any more; a deployment at work there ends.")
    info(f"To let it in again: towline agent invite {name} --endpoint URL")


async def _revoke(service: DeploymentService, name: str) -> None:
    had_access_key = await HostAccessKeys(service.catalogue).revoke(name, by=whoami())
    agents = AgentKeys(service.catalogue)
    if not had_access_key or name in await agents.records():
        await agents.revoke(name, by=whoami())


def list_agents(*, as_json: bool) -> None:
    """Prints the agents that were enrolled, and when each polled last. Raises TemporalUnavailable."""
    records, heard = with_client(_read)
    rows = sorted(records.values(), key=lambda record: natural(record.instance_name))
    if as_json:
        result_json([_as_json(one, heard.get(one.instance_name)) for one in rows])
    elif not rows:
        info("No agents. Invite one: towline agent invite NAME --endpoint URL")
    else:
        result("\n".join(render.table([_cells(one, heard.get(one.instance_name)) for one in rows], HEADERS)))


async def _read(service: DeploymentService) -> tuple[dict[str, AgentRecord], Mapping[str, Heard]]:
    return await AgentKeys(service.catalogue).records(), await last_polls(service)


async def last_polls(service: DeploymentService) -> Mapping[str, Heard]:
    """When each agent polled last, by name; empty, with a warning, where the store cannot be read."""
    try:
        return await asyncio.to_thread(read_heard, await service.storage.store())
    except TowlineError as error:
        warn(f"when agents polled last is not known: {error}")
        return {}


def _cells(record: AgentRecord, heard: Heard | None) -> tuple[str, ...]:
    key = ", ".join(one.key_id for one in record.keys) or f"revoked {record.revoked_at}"
    if heard is None:
        return (record.instance_name, key, "never", "", "", "")
    return (record.instance_name, key, last_poll(heard, time.time()), heard.version, clock_of(heard), heard.hostname)


def last_poll(heard: Heard, now: float) -> str:
    """When an agent polled last, for people.

    >>> last_poll(Heard(at=1000.0), 1030.0), last_poll(Heard(at=1000.0), 5000.0)
    ('polls', 'silent since 1970-01-01T00:16:40+00:00')
    """
    if not heard.is_silent(now):
        return "polls"
    return f"silent since {datetime.fromtimestamp(heard.at, UTC).isoformat(timespec='seconds')}"


def clock_of(heard: Heard) -> str:
    """How far the host's clock is off; empty below two seconds.

    >>> clock_of(Heard(at=0, skew=-90.4)), clock_of(Heard(at=0, skew=0.3))
    ('90 s behind', '')
    """
    return f"{abs(heard.skew):.0f} s {'ahead' if heard.skew > 0 else 'behind'}" if abs(heard.skew) >= 2 else ""


def agent_text(heard: Heard | None, now: float) -> str:
    """An agent in a few words.

    >>> agent_text(Heard(at=1000.0, version="0.1.0", skew=-90.0), 1030.0), agent_text(None, 0.0)
    ('agent 0.1.0, polls, clock 90 s behind', 'agent, never polled')
    """
    if heard is None:
        return "agent, never polled"
    clock = clock_of(heard)
    return f"agent {heard.version}, {last_poll(heard, now)}" + (f", clock {clock}" if clock else "")


def agent_json(heard: Heard | None) -> dict[str, Any]:
    """The same for programs."""
    return {
        "lastPoll": datetime.fromtimestamp(heard.at, UTC).isoformat(timespec="seconds") if heard else None,
        "isSilent": heard.is_silent(time.time()) if heard else True,
        "version": heard.version if heard else "",
        "clockSkewSeconds": round(heard.skew, 1) if heard else None,
        "hostname": heard.hostname if heard else "",
        "server": heard.server if heard else "",
    }


def _as_json(record: AgentRecord, heard: Heard | None) -> dict[str, Any]:
    keys = [one.key_id for one in record.keys]
    return {"instanceName": record.instance_name, "keys": keys, "revokedAt": record.revoked_at, **agent_json(heard)}
