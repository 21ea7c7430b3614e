"""The work of `towline push`: a directory becomes a revision, the same bytes for the same content."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

from towline.bundles.pack import Packed, pack
from towline.cli.bundle_check import CheckedBundle, check_bundle
from towline.cli.output import has_colour, info, result, result_json
from towline.cli.problems import counted, problem_line
from towline.errors import InvalidAppSpec, InvalidInput
from towline.model.bundle.revision import S3_SCHEME, BundleType, RevisionLocation, S3Location, bundle_type_of
from towline.model.problem import is_broken


def push(directory: Path, target: str, *, bundle_type: BundleType | None, strict: bool, as_json: bool) -> None:
    """Bundles a directory, uploads or writes it, and prints what was made. Raises InvalidAppSpec, InvalidInput."""
    _check(check_bundle(directory, strict=strict), directory)
    write = _upload if target.startswith(S3_SCHEME) else _write
    answer = write(directory, target, bundle_type)
    if as_json:
        result_json(answer)
    else:
        for name, value in answer.items():
            result(f"{name:<9}{value}")
    info(f"Deploy it with: towline deploy APP GROUP --revision {shlex.quote(str(answer['revision']))}")


def _check(findings: CheckedBundle, directory: Path) -> None:
    """Tells the problems; raises InvalidAppSpec where one is an error."""
    for problem in findings.problems:
        info(problem_line(findings.file, problem, colour=has_colour(sys.stderr)))
    if is_broken(findings.problems):
        # The problems were printed above, with their file: the error only counts them.
        message = f"{findings.file}: {counted(findings.problems)}; nothing was made."
        raise InvalidAppSpec(message, (), f"Check it with: towline validate {shlex.quote(str(directory))}")


def _write(directory: Path, target: str, bundle_type: BundleType | None) -> dict[str, object]:
    return _facts(target, pack(directory, Path(target), bundle_type or _type_of(target)))


def _upload(directory: Path, target: str, bundle_type: BundleType | None) -> dict[str, object]:
    # boto3 is only needed, and only imported, here.
    from towline.bundles.s3 import S3

    location = _s3_target(target)
    with tempfile.TemporaryDirectory(prefix="towline-push-") as folder:
        kind = bundle_type or _type_of(location.key)
        packed = pack(directory, Path(folder, f"bundle.{kind}"), kind)
        uploaded = S3().upload(packed.path, location)
    label = RevisionLocation(revision_type="S3", s3_location=uploaded).label
    version = {"version": uploaded.version} if uploaded.version else {}
    return {**_facts(label, packed), "etag": uploaded.e_tag, **version}


def _facts(revision: str, packed: Packed) -> dict[str, object]:
    return {"revision": revision, "sha256": packed.sha256, "size": packed.size}


def _s3_target(target: str) -> S3Location:
    try:
        location = RevisionLocation.parse(target).s3_location
    except ValueError as error:
        raise InvalidInput(str(error), "Write it as s3://BUCKET/KEY.tgz") from error
    assert location
    if location.version or location.e_tag:
        raise InvalidInput(f"{target}: S3 gives the version and the ETag, they cannot be chosen", "Leave them out")
    return location


def _type_of(name: str) -> BundleType:
    found = bundle_type_of(name)
    if found is None:
        hint = "Give it the ending .tgz, .tar or .zip, or say which with --bundle-type"
        raise InvalidInput(f"{name!r}: its ending does not tell which kind of archive to make", hint)
    return found
