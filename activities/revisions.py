"""Revisions: read once, pinned and compiled; and where hosts get their archives from.

`read_revision` is the first step of a deployment with a revision, and the only one that opens it: it computes the
digest, refuses what is hostile or wrong, and writes the plan, the list of members and (from GitHub) the archive to
the store. Blocking work runs in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity

from activities.errors import translated
from towline import secret_refs
from towline.bundles import github
from towline.bundles.archive import Bundle, read_archive
from towline.bundles.cache import Cache
from towline.bundles.kind import bundle_type as type_of_content
from towline.bundles.local import revision_key
from towline.bundles.s3 import S3
from towline.errors import InvalidAppSpec, InvalidBundle, NotFound
from towline.model.appspec.lint import lint_bundle
from towline.model.appspec.parser import parse_appspec
from towline.model.appspec.plan import CompiledPlan
from towline.model.bundle.revision import BundleType, ReadRevision, ResolvedRevision, RevisionLocation
from towline.model.problem import Problem, Severity, bounded, is_broken, made_strict
from towline.singleflight import KeptReads
from towline.store import Store

URL_SECONDS = 900
"""How long a presigned URL is good for: one is made when a host has its turn, and another on demand."""
SHARED_SECONDS = 60  # for so long hosts that begin together are given the same URL
KEPT = 64


@dataclass(frozen=True)
class _Fetched:
    """An archive on this worker's disk, and where it came from, pinned."""

    path: Path
    bundle_type: BundleType
    sha256: str
    size: int
    location: RevisionLocation


def listing_key(sha256: str) -> str:
    """Returns the store's key of a revision's `Listing` (towline/model/bundle/listing.py), by the archive's digest."""
    return f"listings/{sha256}.json"


def plan_key(plan_json: bytes) -> str:
    """Returns the store's key of a compiled plan, by its own digest."""
    return f"plans/{hashlib.sha256(plan_json).hexdigest()}.json"


class RevisionActivities:
    """Reads revisions for deployments."""

    def __init__(self, store: Store, cache: Cache, s3: S3 | None = None) -> None:
        self._store = store
        self._cache = cache
        self._s3 = s3 or S3()

    @activity.defn
    async def read_revision(self, request: ReadRevision) -> ResolvedRevision:
        """Reads a revision once: digest, AppSpec, compiled plan.

        Fails as InvalidAppSpec (with every problem), InvalidBundle or NotFound for good, as OurFault to be tried again.
        """
        with translated():
            return await asyncio.to_thread(self._read, request)

    def _read(self, request: ReadRevision) -> ResolvedRevision:
        fetched = self._fetch(request)
        label = fetched.location.label
        bundle = read_archive(fetched.path, fetched.bundle_type, label)
        plan, warnings = _compiled(bundle, label, strict=request.strict)
        plan_json = plan.model_dump_json(by_alias=True).encode()
        self._store.put(plan_key(plan_json), plan_json)
        self._store.put(listing_key(fetched.sha256), bundle.listing.as_json())
        return ResolvedRevision(
            location=fetched.location,
            version_was_found=request.location.s3_location is not None and not request.location.s3_location.version,
            sha256=fetched.sha256,
            size=fetched.size,
            bundle_type=fetched.bundle_type,
            label=label,
            unpacked_bytes=bundle.unpacked_bytes,
            store_key=self._stored(fetched),
            plan_key=plan_key(plan_json),
            events=tuple(plan.hooks),
            warnings=(*_misnamed(fetched), *(str(problem) for problem in warnings)),
        )

    def _fetch(self, request: ReadRevision) -> _Fetched:
        location = request.location
        if location.store_location:
            digest, bundle_type = location.store_location.digest, location.store_location.bundle_type
            path = from_store(self._store, self._cache, digest, bundle_type)
            return _Fetched(path, bundle_type, digest, path.stat().st_size, location)
        with self._cache.scratch() as scratch:
            if location.s3_location:
                pinned = self._s3.download(location.s3_location, scratch)
                bundle_type = type_of_content(scratch, pinned.bundle_type, location.label)
                pinned = pinned.model_copy(update={"bundle_type": pinned.bundle_type or bundle_type})
                location = location.model_copy(update={"s3_location": pinned})
            else:
                assert location.git_hub_location
                bundle_type = "tgz"
                token = secret_refs.resolve(request.git_hub_token) if request.git_hub_token else ""
                github.download(location.git_hub_location, scratch, token=token, base_url=request.git_hub_url)
            path, sha256, size = self._cache.keep(scratch, bundle_type)
        return _Fetched(path, bundle_type, sha256, size, location)

    def _stored(self, fetched: _Fetched) -> str:
        """The archive's key in the store, where it is put if it came from GitHub; empty for S3's, which stay there."""
        if fetched.location.s3_location:
            return ""
        key = revision_key(fetched.sha256, fetched.bundle_type)
        if not self._store.exists(key):
            self._store.put_file(key, fetched.path)
        return key


class Archives:
    """Where hosts get a revision's archive: by themselves from S3, else through the SSH connection."""

    def __init__(self, store: Store, cache: Cache, s3: S3 | None = None) -> None:
        self._store = store
        self._cache = cache
        self._s3 = s3 or S3()
        self._files: KeptReads[Path] = KeptReads(KEPT, seconds=0)  # the cache keeps them
        self._urls: KeptReads[str | None] = KeptReads(KEPT, SHARED_SECONDS)

    async def url(self, revision: ResolvedRevision, *, anew: bool = False) -> str | None:
        """A presigned URL, a secret, signed a minute ago at most, or just now (`anew`: the last one was refused).

        None where hosts cannot fetch by themselves. Raises OurFault.
        """
        place = revision.sha256, revision.store_key, revision.location
        return await self._urls.read(
            place, lambda: asyncio.to_thread(archive_url, revision, self._store, self._s3), anew=anew
        )

    async def file(self, revision: ResolvedRevision) -> Path:
        """The archive on this worker's disk, its digest checked. Raises OurFault, NotFound or InvalidBundle.

        However many ask at once, it is fetched once.
        """
        return await self._files.read(
            revision.sha256, lambda: asyncio.to_thread(archive_file, revision, self._store, self._cache, self._s3)
        )


def archive_url(revision: ResolvedRevision, store: Store, s3: S3) -> str | None:
    """A presigned URL of a revision's archive, or None where the store is a directory; blocks."""
    if revision.store_key:
        return store.url(revision.store_key, URL_SECONDS)
    assert revision.location.s3_location
    return s3.url(revision.location.s3_location, URL_SECONDS)


def archive_file(revision: ResolvedRevision, store: Store, cache: Cache, s3: S3) -> Path:
    """A revision's archive on this worker's disk; blocks. Raises InvalidBundle where it is not what was read first."""
    if revision.store_key:
        return from_store(store, cache, revision.sha256, revision.bundle_type)
    found = cache.find(revision.sha256, revision.bundle_type)
    if found:
        return found
    assert revision.location.s3_location
    with cache.scratch() as scratch:
        s3.download(revision.location.s3_location, scratch)
        return _kept(cache, scratch, revision.bundle_type, revision.sha256, revision.label)


def from_store(store: Store, cache: Cache, sha256: str, bundle_type: BundleType) -> Path:
    """Copies an archive from the store to this worker's disk; blocks. Raises NotFound or InvalidBundle."""
    found = cache.find(sha256, bundle_type)
    if found:
        return found
    key = revision_key(sha256, bundle_type)
    with cache.scratch() as scratch:
        try:
            store.fetch(key, scratch)
        except NotFound as error:
            hint = "Send it there again, by deploying from the path on disk"
            raise NotFound(f"the store has no {key}", hint) from error
        return _kept(cache, scratch, bundle_type, sha256, key)


def _kept(cache: Cache, scratch: Path, bundle_type: BundleType, expected: str, what: str) -> Path:
    path, sha256, _ = cache.keep(scratch, bundle_type)
    if sha256 != expected:
        raise InvalidBundle(f"{what}: its SHA-256 is {sha256}, not {expected}", "It was replaced: deploy again")
    return path


def _misnamed(fetched: _Fetched) -> Iterator[str]:
    """A warning where the content is not of the type that was named, or that the key's ending tells."""
    named = fetched.location.s3_location and fetched.location.s3_location.bundle_type
    if named and named != fetched.bundle_type:
        yield f"{fetched.location.label}: it is a {fetched.bundle_type} archive, not {named}, and was read as such"


def _compiled(bundle: Bundle, label: str, *, strict: bool) -> tuple[CompiledPlan, Sequence[Problem]]:
    """The plan and its warnings; raises InvalidAppSpec with every problem where one is an error (`strict`: all are)."""
    checked = parse_appspec(bundle.appspec, bundle.appspec_name)
    problems = bounded([*checked.problems, *lint_bundle(checked, bundle.listing)])
    if strict:
        problems = made_strict(problems)
    if checked.value is None or is_broken(problems):
        errors = [problem for problem in problems if problem.severity is Severity.ERROR]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        message = f"{bundle.appspec_name} of {label}: {errors[0]}{more}"
        raise InvalidAppSpec(
            message if message.endswith("?") else f"{message}.",
            problems,
            "Check the bundle with: towline validate PATH",
        )
    return checked.value, problems
