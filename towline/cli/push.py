"""`towline push DIR s3://BUCKET/KEY | FILE`: a directory becomes a revision, the same bytes for the same content."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

import click

from towline.bundles.pack import Packed, pack
from towline.cli.inspect import Findings, inspect
from towline.cli.problems import counted, problem_line
from towline.cli.say import has_colour, result, result_json, say
from towline.errors import InvalidAppSpec, InvalidInput
from towline.model.problem import is_broken
from towline.model.revision import BundleType, RevisionLocation, S3Location, bundle_type_of


@click.command("push")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target")
@click.option("--strict", is_flag=True, help="Make errors of warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(directory: Path, target: str, strict: bool, as_json: bool) -> None:
    """Bundles DIRECTORY and uploads it to s3://BUCKET/KEY, or writes it to a file; the ending tells the type.

    The same content always gives the same bytes: times and owners do not count. `.git` is left out.
    """
    _check(inspect(directory, strict=strict), directory)
    answer = _upload(directory, target) if target.startswith("s3://") else _write(directory, Path(target))
    if as_json:
        result_json(answer)
    else:
        for name, value in answer.items():
            result(f"{name:<9}{value}")
    say(f"Deploy it with: towline deploy APP GROUP --revision {shlex.quote(str(answer['revision']))}")


def _check(findings: Findings, directory: Path) -> None:
    """Tells the problems; raises InvalidAppSpec where one is an error."""
    for problem in findings.problems:
        say(problem_line(findings.file, problem, colour=has_colour(sys.stderr)))
    if is_broken(findings.problems):
        # The problems were told above, with their file: the error only counts them.
        message = f"{findings.file}: {counted(findings.problems)}; nothing was made."
        raise InvalidAppSpec(message, (), f"Check it with: towline validate {shlex.quote(str(directory))}")


def _write(directory: Path, file: Path) -> dict[str, object]:
    return _facts(str(file), pack(directory, file, _type_of(file.name)))


def _upload(directory: Path, target: str) -> dict[str, object]:
    # boto3 is only needed, and only imported, here.
    from towline.bundles.s3 import S3

    location = _s3_target(target)
    with tempfile.TemporaryDirectory(prefix="towline-push-") as folder:
        packed = pack(directory, Path(folder, f"bundle.{location.bundle_type}"), location.bundle_type)
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
    try:
        return bundle_type_of(name)
    except ValueError as error:
        raise InvalidInput(str(error), "Name the file, for example, bundle.tgz") from error
