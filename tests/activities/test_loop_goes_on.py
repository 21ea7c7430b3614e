"""Nothing that a bundle, a hook or a host sends holds a worker's event loop, with other deployments and heartbeats.

Measured is the loop's own processor time from one turn to the next (tests/harness/loop.py), through the activities.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.hosts import HostActivities
from activities.instances import InstanceActivities
from activities.revisions import RevisionActivities
from tests.bundles.test_hostile_archives import TARS
from tests.harness.activity_bench import Bench
from tests.harness.hostile import TEXTS, repeated
from tests.harness.liar import Liar
from tests.harness.loop import loop_goes_on
from towline.bundles.cache import Cache
from towline.bundles.local import revision_key
from towline.model.bundle.listing import Listing, Member
from towline.model.bundle.revision import ReadRevision, RevisionLocation
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import order_key
from towline.model.host.order import AskHosts
from towline.model.messages.deploy import DeploymentOrder
from towline.transports import TransportPool

pytestmark = pytest.mark.slow

TOP = "version: 0.0\nos: linux\n"
FILES = f"{TOP}files:\n- {{source: /, destination: /srv}}\n"
APPSPECS = {
    "10,000 sources": TOP + "files:\n" + "".join(f"- {{source: a, destination: /s{n}}}\n" for n in range(10_000)),
    "5,000 permissions": FILES + "permissions:\n" + "".join(f"- {{object: /s{n}, mode: 1}}\n" for n in range(5_000)),
    "a pattern of stars": FILES + f"permissions:\n- {{object: /srv, pattern: '{'*a' * 200}*b'}}\n",
    "aliases in powers": "a: &a [x]\n"
    + "".join(f"{c}: &{c} [*{p}, *{p}, *{p}]\n" for p, c in zip("abcdefghijk", "bcdefghijkl")),  # noqa: B905
    "nested deep": TOP + "files: " + "[" * 100_000,
    "30,000 keys": TOP + "".join(f"k{n}: 1\n" for n in range(30_000)),
    "one long word": TOP + f"files: {'a' * 900_000}\n",
    "one long number": TOP + f"hooks: {{AfterInstall: [{{location: a, timeout: {'1_' * 300_000}}}]}}\n",
    "quotes without end": TOP + 'files: "' + '\\"' * 400_000,
    "no text": "\x00\ufffe" * 100_000,
}


def tar(appspec: str) -> bytes:
    """A bundle with this AppSpec, a name that patterns are slow on, and a script."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in (("appspec.yml", appspec.encode()), ("a" * 200, b""), ("run.sh", b"#!/bin/sh\n")):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return raw.getvalue()


BUNDLES: dict[str, Callable[[], bytes]] = {
    **{what: (lambda text=text: tar(text)) for what, text in APPSPECS.items()},  # type: ignore[misc]
    **{what: (lambda data=data: data + bytes(1024)) for what, (data, _) in TARS.items()},  # type: ignore[misc]
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.attempt()
    return bench


@pytest.mark.parametrize("what", BUNDLES)
async def test_while_a_hostile_bundle_is_read(bench: Bench, tmp_path: Path, what: str) -> None:
    data = BUNDLES[what]()
    digest = hashlib.sha256(data).hexdigest()
    bench.store.put(revision_key(digest, "tar"), data)
    location = RevisionLocation.model_validate(
        {"revisionType": "Store", "storeLocation": {"digest": digest, "bundleType": "tar"}}
    )
    activities = RevisionActivities(bench.store, Cache(tmp_path / "cache"))
    with loop_goes_on():
        try:
            await ActivityEnvironment().run(activities.read_revision, ReadRevision(location=location))
        except ApplicationError as error:
            assert error.non_retryable and len(str(error)) < 2000


async def test_while_a_plan_without_end_is_sent(bench: Bench) -> None:
    install = {f"a{n}": f"/srv/{n}" for n in range(20_000)}
    bench.freeze(bench.local(), install=install)
    with loop_goes_on():
        outcome = await bench.deploy("demo-01")
    assert outcome.outcome is Outcome.FAILED and "a0" in outcome.message, outcome


async def test_while_a_plan_of_an_archive_with_40_000_members_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    members = tuple(Member(path=f"dir/{n}", type="file", sha256="ab" * 32) for n in range(40_000))
    bench.store.put("listings/l.json", Listing(members=members).as_json())
    bench.freeze(bench.local(), install={"dir": "/srv"})
    order = DeploymentOrder.model_validate_json(bench.store.get(order_key("d-1")))
    answer = {"kind": "plan", "added": [f"/srv/{n}" for n in range(200_000)]}
    liar = Liar(tmp_path, json.dumps(answer).encode() + b"\n")
    for pool in (TransportPool(), TransportPool(runner_file=liar.runner_file)):
        activities = HostActivities(bench.store, pool, host="here")
        question = AskHosts(
            do="plan", targets=(bench.local(),), order=order, files_key="listings/l.json", timeout_seconds=60
        )
        with loop_goes_on():
            told = await ActivityEnvironment().run(activities.ask_hosts, question)
        assert told.answers[0].answer and told.answers[0].answer.kind == "plan", told.answers[0].fault


@pytest.mark.parametrize("number", range(6))
async def test_while_hooks_print_what_is_hard_to_mask(bench: Bench, tmp_path: Path, number: int) -> None:
    lines, seq = [b'{"kind":"started","seq":1}'], 1
    end = 0
    for unit in TEXTS[number::6]:
        text = repeated(unit, 60_000)
        lines.append(json.dumps({"kind": "log", "at": end, "end": end + len(text), "text": text}).encode())
        seq += 1
        message = {"kind": "warning", "seq": seq, "event": "Install", "message": text}
        lines.append(json.dumps(message).encode())
        end += len(text)
    fields = {"outcome": "failed", "message": repeated("a-", 60_000), "log": repeated("password='", 60_000)}
    lines.append(json.dumps({"kind": "finished", "seq": seq + 1, **fields}).encode())
    bench.freeze(bench.local())
    pool = TransportPool(runner_file=Liar(tmp_path, b"\n".join(lines) + b"\n").runner_file)
    bench.activities = InstanceActivities(bench.store, bench.archives, pool, is_open=bench.is_open)
    with loop_goes_on():
        outcome = await bench.deploy("demo-01")
    assert outcome.outcome is Outcome.FAILED and len(bench.report("demo-01").warnings) == len(TEXTS[number::6])


async def test_a_loop_that_stands_still_is_noticed() -> None:
    with pytest.raises(AssertionError, match="the loop stood still"), loop_goes_on():
        await asyncio.sleep(0.01)
        ends = time.thread_time() + 0.15
        while time.thread_time() < ends:
            pass
        await asyncio.sleep(0.01)
