"""Rounds that write: 100 CreateDeployment at once, 10,000 registrations by 20 clients; moto's server beside them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.bench.api.calls import Answer, Caller, Load, one_by_one
from tests.bench.api.stand import ACCESS_KEY, SECRET, Stand
from tests.bench.scale import memory_mib
from towline.api.revisions import revision_shown

AT_ONCE = 100
REGISTRATIONS = 10_000
APPLICATIONS = 1_000
CLIENTS = 20
RETRIES = 4
ROLE = "arn:aws:iam::123456789012:role/bench"

GROUPS = "applications:\n  - applicationName: created\n    deploymentGroups:\n"
GROUP = "      - {{deploymentGroupName: g{n}, onPremisesInstanceTagFilters: [{{Key: of, Value: g{n}}}]}}\n"
INSTANCE = "  - {{instanceName: created-{n}, tags: {{of: g{n}}}, fake: {{seconds: 1}}}}\n"


async def creations(stand: Stand) -> None:
    """100 groups: each call is sent twice at the same moment, as a retry that overtakes it, to all servers in turn."""
    groups = "".join(GROUP.format(n=n) for n in range(AT_ONCE))
    instances = "".join(INSTANCE.format(n=n) for n in range(AT_ONCE))
    await stand.apply(f"{GROUPS}{groups}instances:\n{instances}")
    callers = [stand.caller(AT_ONCE, server) for server in range(len(stand.servers))]
    members = [_deployment(stand, f"g{n}") for n in range(AT_ONCE)]
    calls = _at_once(callers, [one for one in members for _ in range(2)], twice=True)
    load = await stand.measured(f"{AT_ONCE} CreateDeployment at once, each sent twice, {_servers(stand)}", calls)
    made = {answer.output["deploymentId"] for answer in load.answers if answer.status == 200}
    print(f"  {len(made)} deployments answered, {await _listed(stand)} listed")


async def contended(stand: Stand) -> None:
    """One group: of 100 calls at once one is granted."""
    await stand.apply(f"{GROUPS}{GROUP.format(n=0)}instances:\n{INSTANCE.format(n=0)}")
    callers = [stand.caller(AT_ONCE, server) for server in range(len(stand.servers))]
    calls = _at_once(callers, [_deployment(stand, "g0")] * AT_ONCE)
    load = await stand.measured(f"{AT_ONCE} CreateDeployment of one group at once, {_servers(stand)}", calls)
    codes = Counter(str(answer.output.get("__type", "granted")) for answer in load.answers)
    print(f"  {dict(codes)}, {await _listed(stand)} listed")


async def registrations(stand: Stand) -> None:
    """10,000 on-premises instances, one by one, by 20 clients over all servers."""
    callers = [stand.caller(CLIENTS, server) for server in range(len(stand.servers))]
    turn = itertools.cycle(callers)
    calls = one_by_one((_registration(next(turn), n) for n in range(REGISTRATIONS)), CLIENTS)
    await stand.measured(f"{REGISTRATIONS} registrations by {CLIENTS} clients, {_servers(stand)}", calls)
    caller, listed, token = stand.caller(1), 0, None
    while listed == 0 or token:
        answer = await caller.call("ListOnPremisesInstances", {"nextToken": token} if token else {})
        listed += len(answer.output["instanceNames"])
        token = answer.output.get("nextToken")
    print(f"  {listed} listed")


async def beside_moto(stand: Stand) -> None:
    """What both can do: 1,000 applications by 20 clients; 100 deployments at once, which moto's server only notes."""
    moto = await _moto_server()
    try:
        for name, url in (("towline", stand.servers[0].url), ("moto", f"http://127.0.0.1:{moto[1]}")):
            caller = Caller(url, ACCESS_KEY, SECRET, AT_ONCE)
            calls = (_application(caller, n) for n in range(APPLICATIONS))
            print(f"{APPLICATIONS} CreateApplication by {CLIENTS} clients, {name}: {await one_by_one(calls, CLIENTS)}")
            groups = [{"applicationName": "bench-0", "deploymentGroupName": f"g{n}"} for n in range(AT_ONCE)]
            for group in groups:
                await caller.call("CreateDeploymentGroup", group | {"serviceRoleArn": ROLE})
            members = [group | {"revision": revision_shown(stand.revision)} for group in groups]
            print(f"{AT_ONCE} CreateDeployment at once, {name}: {await _at_once([caller], members)}", flush=True)
        print(f"  moto's server: {memory_mib(moto[0].pid):.0f} MiB at most")
    finally:
        moto[0].terminate()
        moto[0].wait(30)


def _deployment(stand: Stand, group: str) -> dict[str, Any]:
    return {
        "applicationName": "created",
        "deploymentGroupName": group,
        "revision": revision_shown(stand.revision),
    }


def _registration(caller: Caller, number: int) -> Any:
    name = f"bench-{number:05d}"
    arn = f"arn:aws:iam::123456789012:user/{name}"
    return lambda: caller.call("RegisterOnPremisesInstance", {"instanceName": name, "iamUserArn": arn})


def _application(caller: Caller, number: int) -> Any:
    return lambda: caller.call("CreateApplication", {"applicationName": f"bench-{number}"})


async def _at_once(callers: Sequence[Caller], members: Sequence[Mapping[str, Any]], *, twice: bool = False) -> Load:
    """All calls at the same moment, over the callers in turn; `twice`: neighbours have one invocation id."""
    ids = [str(uuid.uuid4()) for _ in members]
    start = time.time()
    answers: list[Answer] = await asyncio.gather(
        *(_created(callers[n % len(callers)], one, ids[n // 2 if twice else n]) for n, one in enumerate(members))
    )
    return Load(answers, time.time() - start)


async def _created(caller: Caller, members: Mapping[str, Any], invocation: str) -> Answer:
    """As an SDK calls it: what is answered with 503 is sent again, under the same id; the whole time counts."""
    answer = first = await caller.call("CreateDeployment", members, invocation)
    for _ in range(RETRIES):
        if answer.status != 503:
            break
        answer = await caller.call("CreateDeployment", members, invocation)
    return replace(answer, began=first.began)


async def _listed(stand: Stand) -> int:
    """How many deployments there are; by a new connection, since idle ones may have been closed meanwhile."""
    caller, found, token = stand.caller(1), 0, None
    while True:
        answer = await caller.call("ListDeployments", {"nextToken": token} if token else {})
        found += len(answer.output["deployments"])
        token = answer.output.get("nextToken")
        if not token:
            return found


async def _moto_server() -> tuple[subprocess.Popen[bytes], int]:
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return process, port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _servers(stand: Stand) -> str:
    return f"{len(stand.servers)} server(s)"
