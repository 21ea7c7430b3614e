"""The work of `towline api`."""

from __future__ import annotations

import asyncio
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
) -> int:
    """Serves until SIGTERM or Ctrl-C. Raises InvalidInput, TemporalUnavailable."""

    def started(address: str) -> None:
        result(f"CodeDeploy API  {address}   (for clients: export AWS_ENDPOINT_URL_CODEDEPLOY={address})")
        info("Ctrl-C ends it.")

    options = ApiOptions(Listen(ip, port, tls_cert, tls_key), access_keys, policy, no_auth)
    asyncio.run(serve_api(options, read_settings(), started))
    return 0
