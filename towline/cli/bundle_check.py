"""Checks a bundle or an AppSpec on disk, for `validate` and `push`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from towline.bundles.archive import read_archive, read_directory
from towline.bundles.kind import kind_of
from towline.bundles.local import type_on_disk
from towline.cli.input_files import read_input
from towline.errors import NotFound, OurFault
from towline.model.appspec.lint import lint_bundle
from towline.model.appspec.parser import TEXT_LIMIT_BYTES, parse_appspec
from towline.model.appspec.plan import CompiledPlan
from towline.model.bundle.listing import Listing
from towline.model.bundle.revision import bundle_type_of
from towline.model.problem import Problem, bounded, made_strict


@dataclass(frozen=True)
class CheckedBundle:
    """What was found: the file as messages name it; the plan of a valid AppSpec; the listing of a bundle."""

    file: str
    plan: CompiledPlan | None
    listing: Listing | None
    problems: Sequence[Problem]


def check_bundle(path: Path, *, strict: bool) -> CheckedBundle:
    """Check a directory, an archive or an AppSpec file; `strict` makes errors of warnings.

    Raises NotFound, InvalidBundle or OurFault.
    """
    listing = None
    if path.is_dir():
        bundle = read_directory(path)
        listing, name, text = bundle.listing, bundle.appspec_name, bundle.appspec
        file = str(path / bundle.appspec_name)
    elif _is_archive(path):
        bundle = read_archive(path, type_on_disk(path), str(path))
        listing, name, text = bundle.listing, bundle.appspec_name, bundle.appspec
        file = f"{path}/{bundle.appspec_name}"
    else:
        file, name, text = str(path), "appspec.yml", _bytes_of(path)
    checked = parse_appspec(text, name)
    problems = list(checked.problems)
    if listing:
        problems += lint_bundle(checked, listing)
    problems = list(bounded(problems))
    return CheckedBundle(file, checked.value, listing, made_strict(problems) if strict else problems)


def _is_archive(path: Path) -> bool:
    with _translated(path):
        if path.exists() and not path.is_file():
            return False  # a pipe: what was read to tell its kind would be gone
        return bundle_type_of(path.name) is not None or kind_of(path) is not None


def _bytes_of(path: Path) -> bytes:
    with _translated(path):
        return read_input(path, TEXT_LIMIT_BYTES)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file or directory") from None
    except OSError as error:
        raise OurFault(f"{path}: {error.strerror}") from error
