"""Builds the API server from settings, and runs it until a signal ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from towline import errors
from towline.api.access_keys import AccessKey, AccessKeyFile
from towline.api.app import Application
from towline.api.operations import HANDLERS
from towline.api.policy import Policies, read_policies
from towline.api.server import Listen, server
from towline.api.service import CodeDeploy
from towline.api.sigv4 import Caller, Verifier
from towline.deployments.service import connect
from towline.settings import Settings

ANONYMOUS = Caller(AccessKey("", "", "anonymous"), "")


@dataclass(frozen=True)
class ApiOptions:
    """What `towline api` was asked for. `access_keys` None: no signatures are asked for."""

    listen: Listen
    access_keys: Path | None
    policy: Path | None
    no_auth: bool = False


def check(options: ApiOptions) -> None:
    """Raises InvalidInput for options that would serve strangers, or nobody."""
    if options.no_auth and not options.listen.is_loopback:
        raise errors.InvalidInput(
            f"--no-auth serves whoever reaches {options.listen.ip}.", "It is for loopback: leave --ip out."
        )
    if options.no_auth and (options.access_keys or options.policy):
        raise errors.InvalidInput("--no-auth goes without --access-keys and --policy.", "Leave one of them out.")
    if not options.no_auth and not options.access_keys:
        raise errors.InvalidInput(
            "no access keys are named.", "Name a file with --access-keys, or try it on loopback with --no-auth."
        )
    if bool(options.listen.tls_cert) != bool(options.listen.tls_key):
        raise errors.InvalidInput("TLS needs both files.", "Give --tls-cert and --tls-key.")


async def serve(options: ApiOptions, settings: Settings, on_start: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C; `on_start` is given the address. Raises InvalidInput, TemporalUnavailable."""
    check(options)
    keys = AccessKeyFile(options.access_keys) if options.access_keys else None
    policies = None if options.no_auth else read_policy_file(options.policy)
    service = CodeDeploy(await connect(settings), policies, HANDLERS)
    application = Application(service, Verifier(keys.find) if keys else None, ANONYMOUS)
    http = server(application, options.listen)
    http.on_started = lambda: on_start(address_of(http, options.listen))
    await http.serve()


def address_of(http: Any, listen: Listen) -> str:
    """The address that clients take as endpoint."""
    port = http.servers[0].sockets[0].getsockname()[1]
    scheme = "https" if listen.tls_cert else "http"
    return f"{scheme}://{f'[{listen.ip}]' if ':' in listen.ip else listen.ip}:{port}"


def read_policy_file(path: Path | None) -> Policies:
    """The policies of a file, JSON or YAML; without one nothing is allowed. Raises InvalidInput."""
    if path is None:
        return Policies({})
    try:
        return read_policies(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise errors.InvalidInput(f"policy {path}: {error.strerror}.", "Name a file with --policy.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"policy {path}: {' '.join(str(error).split())}.") from error
