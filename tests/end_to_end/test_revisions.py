"""Revisions on their whole way: pushed, read once, fetched by hosts, and no secret left behind anywhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
import pytest_asyncio

from tests.harness.github import FakeGitHub, fake_github
from tests.harness.s3 import aws_environ, s3_server
from tests.harness.s3_gate import Gate, s3_gate
from tests.harness.site import Done, Site, running_site
from tests.harness.temporal import TemporalServer, eventually
from towline.bundles.pack import pack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TOKEN = "ghs_TheTokenOfTheseTests0123456789"
# A hook that tells what it and everybody can see, and what its bundle is called.
SNOOP = """tr '\\0' '\\n' < /proc/self/environ > "$TOWLINE_ROOT/environ"
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' > "$TOWLINE_ROOT/commands"
true"""


@dataclass
class FakeActivities:
    """The site, its S3 (`boto` talks to it, hosts and workers pass the gate) and its GitHub."""

    site: Site
    gate: Gate
    boto: Any
    bucket: str
    hub: FakeGitHub

    async def deploy(self, group: str, revision: str, *words: str) -> Done:
        """Deploys to a group of `shop`."""
        return await self.site.towline("deploy", "shop", group, "--revision", revision, *words)

    def bundle_variables(self, instance: str) -> dict[str, str]:
        """The BUNDLE_* variables that the hook of an instance saw."""
        lines = (self.site.root(instance) / "environ").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line.startswith("BUNDLE_"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fakes(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FakeActivities]:
    """One worker whose store is in S3."""
    with s3_server() as upstream, s3_gate(upstream) as gate, fake_github() as hub:
        boto: Any = boto3.client(
            "s3", endpoint_url=upstream, aws_access_key_id="t", aws_secret_access_key="t", region_name="eu-west-1"
        )
        for name in ("releases", "towline"):
            boto.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        boto.put_bucket_versioning(Bucket="releases", VersioningConfiguration={"Status": "Enabled"})
        environ = aws_environ("http://127.0.0.1:1") | {"AWS_ENDPOINT_URL_S3": gate.url}
        environ |= {"TOWLINE_STORE": "s3://towline/kept", "SHOP_GITHUB_TOKEN": TOKEN}
        async with running_site(temporal, tmp_path_factory.mktemp("revisions"), **environ) as site:
            del site.environ["SHOP_GITHUB_TOKEN"]  # the worker has it, commands do not
            yield FakeActivities(site, gate, boto, "releases", hub)


async def test_a_pushed_bundle_is_fetched_by_the_hosts_themselves(fakes: FakeActivities) -> None:
    site, key = fakes.site, "s3://releases/shop.tgz"
    await site.declare("shop", "web")
    first = await site.towline("push", str(site.bundle("p1", SNOOP)), key, "--json")
    assert first.status == 0, first.err
    second = await site.towline("push", str(site.bundle("p2", SNOOP)), key, "--json")
    assert first.json["version"] != second.json["version"]

    done = await fakes.deploy("web", first.json["revision"])
    assert done.status == 0, done.err
    assert [(site.root(f"web-{n}") / "srv/shop/index.html").read_text() for n in (1, 2)] == ["p1\n", "p1\n"]
    assert len([path for path in fakes.gate.presigned if "/releases/shop.tgz" in path]) == 2, "one by each host"
    assert fakes.bundle_variables("web-1") == {
        "BUNDLE_BUCKET": "releases",
        "BUNDLE_KEY": "shop.tgz",
        "BUNDLE_VERSION": first.json["version"],
        "BUNDLE_ETAG": first.json["etag"],
    }

    newest = await fakes.deploy("web", key)
    assert newest.status == 0, newest.err
    assert (site.root("web-1") / "srv/shop/index.html").read_text() == "p2\n"
    assert fakes.bundle_variables("web-2") == {
        "BUNDLE_BUCKET": "releases",
        "BUNDLE_KEY": "shop.tgz",
        "BUNDLE_ETAG": second.json["etag"],
    }
    await nothing_holds(fakes, fakes.gate.signatures)


@pytest.mark.parametrize(
    "key", ["plain.zip#new", "/lead ü?versionId=3", "Build%25Artif/a+b&c/../h3Xk9aQ", "deep/" * 190 + "latest.tar"]
)
async def test_any_key_is_deployed_as_the_object_that_it_names(fakes: FakeActivities, key: str) -> None:
    """Zip archives under keys that look like URLs, that have no ending or a wrong one, and that are very long."""
    site, target = fakes.site, f"s3://releases/{key}" + ("?versionId=" if "versionId" in key else "")
    group = f"odd-{len(key)}"
    await site.declare("shop", group, count=1)
    fakes.boto.put_object(Bucket="releases", Key="plain.zip", Body=b"another object")
    pushed = await site.towline("push", str(site.bundle(group)), target, "--bundle-type", "zip", "--json")
    assert pushed.status == 0, pushed.err
    assert fakes.boto.get_object(Bucket="releases", Key="plain.zip")["Body"].read() == b"another object"
    done = await fakes.deploy(group, pushed.json["revision"], "--json")
    assert done.status == 0, done.err
    assert (site.root(f"{group}-1") / "srv/shop/index.html").read_text() == f"{group}\n"
    record = done.json["deploymentInfo"]["revision"]["s3Location"]
    assert (record["key"], record["version"]) == (key, pushed.json["version"])
    assert any(f"/releases/{key}?" in unquote(path) for path in fakes.gate.presigned), "the host fetched it itself"


async def test_hosts_that_cannot_reach_s3_get_it_through_the_connection(fakes: FakeActivities) -> None:
    site = fakes.site
    await site.declare("shop", "closed")
    pushed = await site.towline("push", str(site.bundle("c1", SNOOP)), "s3://releases/closed.zip", "--json")
    fakes.gate.is_shut = True
    try:
        done = await fakes.deploy("closed", "s3://releases/closed.zip", "--id", "d-CLOSED")
    finally:
        fakes.gate.is_shut = False
    assert done.status == 0, done.err
    assert any("/releases/closed.zip" in path for path in fakes.gate.presigned), "they tried"
    assert (site.root("closed-2") / "srv/shop/index.html").read_text() == "c1\n"
    assert fakes.bundle_variables("closed-1")["BUNDLE_ETAG"] == pushed.json["etag"]
    await nothing_holds(fakes, fakes.gate.signatures)


async def test_what_is_not_there_or_not_the_same_touches_nothing(fakes: FakeActivities) -> None:
    await fakes.site.declare("shop", "never")
    absent = await fakes.deploy("never", "s3://releases/no-such.tgz")
    assert absent.status in (1, 2), absent.err
    assert "s3://releases/no-such.tgz" in absent.out + absent.err
    await fakes.site.towline("push", str(fakes.site.bundle("n1")), "s3://releases/n.tgz")
    other = await fakes.deploy("never", "s3://releases/n.tgz?etag=0123")
    assert "its ETag is" in other.out + other.err
    assert not fakes.site.root("never-1").exists()


async def test_a_path_goes_through_the_store_in_s3_and_the_report_lies_there(fakes: FakeActivities) -> None:
    site = fakes.site
    await site.declare("shop", "sent")
    done = await fakes.deploy("sent", str(site.bundle("s1", SNOOP)), "--id", "d-SENT")
    assert done.status == 0, done.err
    assert "report: s3://towline/kept/deployments/d-SENT/report.html" in done.out
    assert (site.root("sent-1") / "srv/shop/index.html").read_text() == "s1\n"
    assert fakes.bundle_variables("sent-1") == {}
    assert any("/towline/kept/revisions/" in path for path in fakes.gate.presigned), "hosts fetched it from the store"
    shown = await site.temporal("workflow", "describe", "-w", "d-SENT")
    assert "towline stop d-SENT" in shown.out, "how to steer it, in the Web UI"
    report = await site.towline("report", "d-SENT")
    assert report.json["deploymentInfo"]["status"] == "Succeeded"
    assert "hello from s1" in (await site.towline("logs", "d-SENT", "sent-1")).out
    await nothing_holds(fakes, fakes.gate.signatures)


async def test_a_link_out_of_the_bundle_is_made_as_a_link_with_a_warning(fakes: FakeActivities) -> None:
    site = fakes.site
    await site.declare("shop", "linked", count=1)
    folder = site.bundle("l1")
    (folder / "storage").symlink_to("/var/shared-elsewhere")
    appspec = folder / "appspec.yml"
    appspec.write_text(appspec.read_text().replace("source: index.html", "source: /"))
    plan = await fakes.deploy("linked", str(folder), "--plan")
    assert plan.status == 0, plan.err
    assert "/srv/shop/storage" in plan.out
    assert "links lead out of the bundle" in plan.err
    done = await fakes.deploy("linked", str(folder))
    assert done.status == 0, done.err
    assert "warning: " in done.out and "storage -> /var/shared-elsewhere" in done.out
    assert (site.root("linked-1") / "srv/shop/storage").readlink() == Path("/var/shared-elsewhere")


def on_github(fakes: FakeActivities, name: str) -> str:
    """Puts a commit of shop/web on GitHub: a tarball with the surrounding directory that GitHub's have."""
    folder = fakes.site.bundle(name, SNOOP)
    top = fakes.site.folder / f"tarball-{name}"
    top.mkdir()
    folder.rename(top / f"shop-web-{name}")
    archive = pack(top, fakes.site.folder / f"{name}.tar.gz", "tgz")
    fakes.hub.tarballs[f"shop/web@{name}"] = archive.path.read_bytes()
    return f"github://shop/web@{name}"


async def test_github_with_a_token_that_is_nowhere(fakes: FakeActivities) -> None:
    site, hub = fakes.site, fakes.hub
    hub.token = TOKEN
    await site.declare("shop", "hub", gitHubToken="env:SHOP_GITHUB_TOKEN", gitHubUrl=hub.url)
    done = await fakes.deploy("hub", on_github(fakes, "1a2b3c4"), "--json")
    assert done.status == 0, done.err
    assert {authorization for _, authorization in hub.asked} == {f"Bearer {TOKEN}"}
    assert {authorization for _, authorization in hub.downloads} == {""}, "not along with a redirect"
    assert (site.root("hub-1") / "srv/shop/index.html").read_text() == "1a2b3c4\n"
    assert fakes.bundle_variables("hub-2") == {"BUNDLE_COMMIT": "1a2b3c4"}
    assert TOKEN not in done.out + done.err
    await nothing_holds(fakes, {TOKEN, *fakes.gate.signatures})


async def test_a_token_that_is_refused_or_absent_is_told_by_its_name(fakes: FakeActivities) -> None:
    site, hub = fakes.site, fakes.hub
    revision = on_github(fakes, "5e6f7a8")
    hub.token = "another"
    await site.declare("shop", "refused", gitHubToken="env:SHOP_GITHUB_TOKEN", gitHubUrl=hub.url)
    await site.declare("shop", "absent", gitHubToken="env:NO_SUCH_TOKEN", gitHubUrl=hub.url)
    refused, absent = await asyncio.gather(fakes.deploy("refused", revision), fakes.deploy("absent", revision))
    assert refused.status == 1 and "the token is refused" in refused.out, refused.err
    assert absent.status == 1 and "NO_SUCH_TOKEN" in absent.out, absent.err
    assert "No instance was touched." in refused.out
    await nothing_holds(fakes, {TOKEN})


async def nothing_holds(fakes: FakeActivities, secrets: set[str]) -> None:
    """Greps for secrets: Temporal's histories, the store, all files of worker, hosts and commands, what hooks saw."""
    assert secrets
    pattern = re.compile("|".join(map(re.escape, sorted(secrets))).encode())
    searched = 0
    async for workflow in fakes.site.client.list_workflows():
        handle = fakes.site.client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        async for event in handle.fetch_history_events():
            assert not pattern.search(event.SerializeToString()), f"history of {workflow.id}"
            searched += 1
    for path in (path for path in fakes.site.folder.rglob("*") if path.is_file() and not path.is_symlink()):
        assert not pattern.search(path.read_bytes()), path
        searched += 1
    for entry in fakes.boto.list_objects_v2(Bucket="towline")["Contents"]:
        body = fakes.boto.get_object(Bucket="towline", Key=entry["Key"])["Body"].read()
        assert not pattern.search(body), entry["Key"]
        searched += 1
    assert searched > 50, "the search itself must find something to search"


async def test_the_search_can_fail(fakes: FakeActivities) -> None:
    """What is known to lie in each of the three places is found there."""

    async def is_listed() -> bool:
        return bool([one async for one in fakes.site.client.list_workflows()])

    await eventually(is_listed)
    for known in ("TowlineGroup", "hello from", '"deploymentInfo"'):
        with pytest.raises(AssertionError):
            await nothing_holds(fakes, {known})
