"""Builds the API server from settings, and runs it until a signal ends it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from towline import errors
from towline.agents.exchange import Exchange
from towline.agents.keys import AgentKeys
from towline.agents.peers import Peers
from towline.agents.service import AgentService
from towline.api.access_keys import AccessKey, AccessKeyFile
from towline.api.agents import AgentEndpoints
from towline.api.app import ApiApplication, Attempt
from towline.api.audit import Audit
from towline.api.command_service.endpoints import CommandEndpoints
from towline.api.command_service.hosts import SignIn
from towline.api.command_service.keys import make_host_keys
from towline.api.command_service.relay import CommandRelay
from towline.api.metrics import Metrics
from towline.api.operations import HANDLERS
from towline.api.policy import Policies, read_policies
from towline.api.polled_work import AgentsWorker, PolledWork
from towline.api.rate import RateLimit
from towline.api.relay import Relay
from towline.api.server import Listen, server
from towline.api.service import Backend, CodeDeploy
from towline.api.sigv4 import Caller, Verifier
from towline.codedeploy_agents.access_keys import HostAccessKeys
from towline.codedeploy_agents.runs import Runs
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
    rate: int = 0
    metrics_port: int | None = None
    host_keys: Path | None = None  # None: in the data directory
    advertise: str = ""


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


async def serve(
    options: ApiOptions, settings: Settings, on_start: Callable[[str], None], agents_worker: AgentsWorker
) -> None:
    """Serves until SIGTERM or Ctrl-C; `on_start` is given the address. Raises InvalidInput, TemporalUnavailable.

    It also is Temporal's worker for the instances whose agents poll it: `agents_worker` is `worker.agents_worker`.
    """
    check(options)
    keys = AccessKeyFile(options.access_keys) if options.access_keys else None
    host_keys = make_host_keys(options.host_keys or settings.host_keys)
    policies = None if options.no_auth else read_policy_file(options.policy)
    backend = Backend(await connect(settings))
    audit, metrics = Audit(backend.deployments.storage.store), Metrics()

    def ended(attempt: Attempt, code: str) -> None:
        name = attempt.operation.name if attempt.operation else ""
        metrics.called(name, code, time.perf_counter() - attempt.started)
        if name:
            key = attempt.caller.key if attempt.caller else ANONYMOUS.key
            audit.record(
                name, attempt.input, user=key.name, key_id=key.key_id, request_id=attempt.request_id, code=code
            )

    calls = ApiApplication(
        CodeDeploy(backend, policies, HANDLERS),
        Verifier(keys.find) if keys else None,
        ANONYMOUS,
        rate=RateLimit(options.rate) if options.rate else None,
        on_end=ended,
    )
    if options.metrics_port is not None:
        _serve_metrics(metrics, options.metrics_port)
    peers, exchange, runs = Peers(backend.deployments.temporal), Exchange(), Runs()
    relay = Relay(exchange, peers, options.listen.tls_cert)
    agents = AgentService(exchange, AgentKeys(backend.deployments.catalogue), want=relay.want)
    work = PolledWork(backend.deployments, agents, runs, settings.data_dir / "cache", agents_worker)
    sign_in = SignIn(host_keys, HostAccessKeys(backend.deployments.catalogue))
    endpoints = AgentEndpoints(agents, relay, calls)
    metrics.watch_agents(lambda: exchange.polling, lambda: endpoints.refused)
    command_relay = CommandRelay(runs, peers, options.listen.tls_cert)
    http = server(CommandEndpoints(runs, sign_in, endpoints, command_relay), options.listen)

    def started() -> None:
        address = address_of(http, options.listen)
        peers.own = options.advertise or reachable_address(address)
        exchange.listens_at(peers.own)
        work.begin(peers.own)
        on_start(address)

    async def ending() -> None:
        await work.end()  # while the connections are there over which the runners are followed
        agents.exchange.release_polls()
        runs.end_polls()

    http.on_started, http.on_ending = started, ending
    try:
        await http.serve()
    finally:
        await work.end()
        await audit.close()


def _serve_metrics(metrics: Metrics, port: int) -> None:
    try:
        metrics.serve("127.0.0.1", port)
    except OSError as error:
        hint = "Name another --metrics-port."
        raise errors.InvalidInput(f"port {port} for metrics: {error.strerror}.", hint) from error


def address_of(http: Any, listen: Listen) -> str:
    """The address that clients take as endpoint."""
    port = http.servers[0].sockets[0].getsockname()[1]
    scheme = "https" if listen.tls_cert else "http"
    return f"{scheme}://{f'[{listen.ip}]' if ':' in listen.ip else listen.ip}:{port}"


def reachable_address(address: str) -> str:
    """The address at which other machines reach this server: of one that listens everywhere, by its machine's name.

    >>> reachable_address("https://10.0.0.5:8014")
    'https://10.0.0.5:8014'
    """
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    return f"{scheme}://{socket.gethostname()}:{port}" if host in ("0.0.0.0", "[::]") else address  # noqa: S104


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
