"""read_revision: what a deployment knows of its revision, and what ends it before a host is touched."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.revisions import Archives, RevisionActivities, listing_key
from tests.harness.github import FakeGitHub, fake_github
from tests.harness.s3 import new_bucket, use_aws
from towline.bundles.cache import Cache
from towline.bundles.local import location_of, revision_key
from towline.bundles.pack import Packed, pack
from towline.bundles.s3 import S3
from towline.errors import InvalidBundle, NotFound
from towline.model.appspec.plan import CompiledPlan
from towline.model.bundle.listing import Listing
from towline.model.bundle.revision import GitHubLocation, ReadRevision, ResolvedRevision, RevisionLocation, S3Location
from towline.store import Store, open_store

APPSPEC = """version: 0.0
os: linux
files:
  - source: app
    destination: /srv/app
hooks:
  AfterInstall:
    - location: scripts/after.sh
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def activities(store: Store, cache: Cache) -> RevisionActivities:
    return RevisionActivities(store, cache)


def bundle(tmp_path: Path, appspec: str = APPSPEC, name: str = "shop") -> Packed:
    root = tmp_path / name
    (root / "app").mkdir(parents=True, exist_ok=True)
    (root / "scripts").mkdir(exist_ok=True)
    (root / "app" / "index.html").write_text("hello")
    (root / "scripts" / "after.sh").write_text("#!/bin/sh\n")
    (root / "appspec.yml").write_text(appspec)
    return pack(root, tmp_path / f"{name}.tgz", "tgz")


async def read(activities: RevisionActivities, location: RevisionLocation, **fields: str) -> ResolvedRevision:
    request = ReadRevision(location=location, **fields)
    return await ActivityEnvironment().run(activities.read_revision, request)


async def refused(activities: RevisionActivities, location: RevisionLocation, **fields: str) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await read(activities, location, **fields)
    return caught.value


async def test_a_clients_revision(activities: RevisionActivities, store: Store, cache: Cache, tmp_path: Path) -> None:
    packed = bundle(tmp_path)
    store.put_file(revision_key(packed.sha256, "tgz"), packed.path)
    revision = await read(activities, location_of(packed, "shop"))
    assert (revision.sha256, revision.size, revision.bundle_type) == (packed.sha256, packed.size, "tgz")
    assert revision.store_key == revision_key(packed.sha256, "tgz")
    assert revision.events == ("AfterInstall",)
    assert revision.warnings == ()
    plan_json = store.get(revision.plan_key)
    assert revision.plan_key == f"plans/{hashlib.sha256(plan_json).hexdigest()}.json"
    assert CompiledPlan.model_validate_json(plan_json).hooks["AfterInstall"][0].location == "scripts/after.sh"
    listing = Listing.model_validate_json(store.get(listing_key(packed.sha256)))
    assert listing.by_path["app/index.html"].sha256 == hashlib.sha256(b"hello").hexdigest()
    archives = Archives(store, cache)
    assert await archives.url(revision) is None
    assert (await archives.file(revision)).read_bytes() == packed.path.read_bytes()


@pytest.mark.slow
async def test_a_revision_in_s3_stays_there_and_is_pinned(
    activities: RevisionActivities,
    store: Store,
    cache: Cache,
    tmp_path: Path,
    s3_address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_aws(monkeypatch, s3_address)
    bucket = new_bucket(s3_address, versioned=True)
    packed = bundle(tmp_path)
    asked = S3Location(bucket=bucket, key="shop.tgz", bundle_type="tgz")
    uploaded = S3().upload(packed.path, asked)
    revision = await read(activities, RevisionLocation(revision_type="S3", s3_location=asked))
    assert revision.location.s3_location == uploaded
    assert revision.label == f"s3://{bucket}/shop.tgz?versionId={uploaded.version}"
    assert revision.store_key == ""
    assert not list(store.keys("revisions/"))
    archives = Archives(store, Cache(tmp_path / "another"))
    assert "X-Amz-Signature" in (await archives.url(revision) or "")
    paths = await asyncio.gather(*(archives.file(revision) for _ in range(20)))
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == packed.path.read_bytes()


@pytest.mark.slow
async def test_an_object_that_was_replaced_is_noticed(
    activities: RevisionActivities, store: Store, tmp_path: Path, s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_aws(monkeypatch, s3_address)
    bucket = new_bucket(s3_address)
    asked = S3Location(bucket=bucket, key="shop.tgz", bundle_type="tgz")
    S3().upload(bundle(tmp_path).path, asked)
    revision = await read(activities, RevisionLocation(revision_type="S3", s3_location=asked))
    S3().upload(bundle(tmp_path, APPSPEC + "# changed\n").path, asked)
    with pytest.raises(InvalidBundle, match="replaced"):
        await Archives(store, Cache(tmp_path / "another")).file(revision)


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with fake_github() as server:
        yield server


async def test_a_revision_from_github_is_kept_in_the_store(
    activities: RevisionActivities, store: Store, tmp_path: Path, github: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = bundle(tmp_path)
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w:gz") as tar, tarfile.open(inner.path) as source:
        for member in source:
            member.name = f"acme-shop-1a2b3c/{member.name}"
            tar.addfile(member, source.extractfile(member) if member.isreg() else None)
    github.tarballs["acme/shop@1a2b3c"] = outer.getvalue()
    github.token = "ghp_secret"
    monkeypatch.setenv("CI_TOKEN", "ghp_secret")
    location = RevisionLocation(
        revision_type="GitHub", git_hub_location=GitHubLocation(repository="acme/shop", commit_id="1a2b3c")
    )
    revision = await read(activities, location, git_hub_token="env:CI_TOKEN", git_hub_url=github.url)
    assert revision.store_key == revision_key(revision.sha256, "tgz")
    assert store.get(revision.store_key) == outer.getvalue()
    listing = Listing.model_validate_json(store.get(listing_key(revision.sha256)))
    assert "appspec.yml" in listing.by_path  # the surrounding directory is taken away

    error = await refused(activities, location, git_hub_token="env:NO_SUCH_TOKEN", git_hub_url=github.url)
    assert (error.type, error.non_retryable) == ("OurFault", False)
    error = await refused(activities, location, git_hub_url=github.url)
    assert (error.type, error.non_retryable) == ("NotFound", True)


async def test_a_bad_appspec_tells_every_problem(activities: RevisionActivities, store: Store, tmp_path: Path) -> None:
    text = APPSPEC.replace("0.0", "'0.0'").replace("linux", "Linux")
    packed = bundle(tmp_path, text)
    store.put_file(revision_key(packed.sha256, "tgz"), packed.path)
    error = await refused(activities, location_of(packed, "shop"))
    assert (error.type, error.non_retryable) == ("InvalidAppSpec", True)
    assert "line 1, version: must be the number 0.0" in error.message
    assert "(and 1 more)" in error.message
    assert [problem["key"] for problem in error.details[0]["problems"]] == ["version", "os"]
    assert error.details[0]["hint"].endswith("towline validate PATH")
    assert not list(store.keys("plans/"))


async def test_a_missing_hook_file_ends_it_and_a_typo_is_told(
    activities: RevisionActivities, store: Store, tmp_path: Path
) -> None:
    packed = bundle(tmp_path, APPSPEC.replace("after.sh", "afterwards.sh"))
    store.put_file(revision_key(packed.sha256, "tgz"), packed.path)
    error = await refused(activities, location_of(packed, "shop"))
    assert "there is no scripts/afterwards.sh in the bundle" in error.message
    packed = bundle(tmp_path, APPSPEC.replace("AfterInstall", "AfterInstal"))
    store.put_file(revision_key(packed.sha256, "tgz"), packed.path)
    revision = await read(activities, location_of(packed, "shop"))
    assert "Did you mean AfterInstall?" in revision.warnings[0]


async def test_a_store_that_lacks_the_archive_or_has_another(
    activities: RevisionActivities, store: Store, tmp_path: Path
) -> None:
    packed = bundle(tmp_path)
    error = await refused(activities, location_of(packed, "shop"))
    assert error.type == "NotFound"
    store.put(revision_key(packed.sha256, "tgz"), b"something else")
    error = await refused(activities, location_of(packed, "shop"))
    assert error.type == "InvalidBundle"
    assert packed.sha256 in error.message


def test_the_cache_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    import os

    cache = Cache(tmp_path / "cache", limit_bytes=250)
    kept = []
    for age, content in ((3, b"a" * 100), (2, b"b" * 100), (1, b"c" * 100)):
        with cache.scratch() as scratch:
            scratch.write_bytes(content)
            path, sha256, size = cache.keep(scratch, "tgz")
        assert size == 100
        kept.append((path, sha256))
        if path.exists():
            os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert [path.exists() for path, _ in kept] == [False, True, True]
    assert cache.find(kept[0][1], "tgz") is None
    assert cache.find(kept[1][1], "tgz") == kept[1][0]
    assert len(list((tmp_path / "cache").iterdir())) == 2


async def test_an_archive_that_is_gone_for_good_is_told_to_each_who_asks(
    store: Store, cache: Cache, tmp_path: Path
) -> None:
    packed = bundle(tmp_path)
    revision = ResolvedRevision(
        location=location_of(packed, "shop"),
        sha256=packed.sha256,
        size=packed.size,
        bundle_type="tgz",
        label="shop",
        store_key=revision_key(packed.sha256, "tgz"),
    )
    archives = Archives(store, cache)
    answers = await asyncio.gather(archives.file(revision), archives.file(revision), return_exceptions=True)
    assert [type(answer) for answer in answers] == [NotFound, NotFound]
    store.put_file(revision.store_key, packed.path)
    assert (await archives.file(revision)).exists()
