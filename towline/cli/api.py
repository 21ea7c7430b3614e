"""`towline api`."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--ip", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8014, show_default=True, help="The port; 0: a free one.")
@click.option("--access-keys", type=FILE, help="Access keys, in the form of ~/.aws/credentials.")
@click.option("--policy", type=FILE, help="Who may do what: names and IAM policy documents, JSON or YAML.")
@click.option("--no-auth", is_flag=True, help="Asks for no signature; on loopback only.")
@click.option("--tls-cert", type=FILE, help="The certificate chain, PEM.")
@click.option("--tls-key", type=FILE, help="Its private key, PEM.")
def command(
    ip: str,
    port: int,
    access_keys: Path | None,
    policy: Path | None,
    no_auth: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> int:
    """Serves CodeDeploy's API, for the AWS CLI and SDKs: set AWS_ENDPOINT_URL_CODEDEPLOY to its address."""
    import asyncio

    from towline.api.serve import ApiOptions, serve
    from towline.api.server import Listen
    from towline.cli.output import result, say
    from towline.settings import read_settings

    def started(address: str) -> None:
        result(f"CodeDeploy API  {address}   (for clients: export AWS_ENDPOINT_URL_CODEDEPLOY={address})")
        say("Ctrl-C ends it.")

    options = ApiOptions(Listen(ip, port, tls_cert, tls_key), access_keys, policy, no_auth)
    asyncio.run(serve(options, read_settings(), started))
    return 0
