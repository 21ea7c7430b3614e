"""The work of `towline export` and `towline import-from-aws`: towline.yaml, written from what exists."""

from __future__ import annotations

from towline.cli.event_loop import with_client
from towline.cli.output import info, result, warn
from towline.deployments.service import DeploymentService
from towline.model.catalogue.changes import APPLIED
from towline.model.manifest.export import as_yaml, manifest_of
from towline.model.manifest.parser import parse_manifest


def export() -> None:
    """Prints the catalogue. Raises TemporalUnavailable."""

    async def read(service: DeploymentService) -> str:
        records = await service.catalogue.read_all(*APPLIED)
        return as_yaml(manifest_of({key: record.value for key, record in records.items()}))

    result(with_client(read).rstrip("\n"))


def import_from_aws(region: str | None) -> None:
    """Prints what an AWS account declares, and warns of what towline would not do of it. Raises OurFault."""
    from towline.catalogue.aws_account import read_account

    account = read_account(region)
    text = as_yaml(account.manifest)
    for line in account.left_out:
        warn(line)
    for problem in parse_manifest(text, host="localhost").problems:
        warn(str(problem))
    result(text.rstrip("\n"))
    info("Look through it, add how instances are reached (ssh), then: towline apply -f towline.yaml")
