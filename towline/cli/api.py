"""The work of `towline api`."""

from __future__ import annotations

import asyncio
import importlib
import logging
from pathlib import Path

from towline.api.serve import ApiOptions
from towline.api.serve import serve as serve_api
from towline.api.server import Listen
from towline.cli.output import info, result
from towline.settings import read_settings


def serve(
    ip: str,
    port: int,
    access_keys: Path | None,
    policy: Path | None,
    no_auth: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    rate: int,
    metrics_port: int | None,
    host_keys: Path | None,
    advertise: str,
) -> int:
    """Serves until SIGTERM or Ctrl-C. Raises InvalidInput, TemporalUnavailable."""

    def started(address: str) -> None:
        result(f"CodeDeploy API  {address}   (for clients: export AWS_ENDPOINT_URL_CODEDEPLOY={address})")
        info("Ctrl-C ends it.")

    _log_to_stderr()
    listen = Listen(ip, port, tls_cert, tls_key)
    options = ApiOptions(
        listen,
        access_keys,
        policy,
        no_auth,
        rate,
        metrics_port,
        host_keys,
        advertise,
    )
    asyncio.run(serve_api(options, read_settings(), started, importlib.import_module("worker").agents_worker))
    return 0


def _log_to_stderr() -> None:
    """Lines for people, and audit records as plain JSON lines."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    audit, handler = logging.getLogger("towline.audit"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    audit.addHandler(handler)
    audit.propagate = False
