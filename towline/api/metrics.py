"""Prometheus metrics of the API server, on a port of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
OTHER = "other"


class Metrics:
    """Counts of calls and their times. Labels come from CodeDeploy's model, so that no caller can add one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._calls = Counter(
            "towline_api_calls", "Calls by operation and error code.", ("operation", "code"), registry=self.registry
        )
        self._seconds = Histogram(
            "towline_api_call_seconds", "Time per call.", ("operation",), buckets=BUCKETS, registry=self.registry
        )

    def watch_agents(self, polling: Callable[[], float], refused: Callable[[], float]) -> None:
        """Shows how many hosts poll this server, and how many of their requests it has refused."""
        Gauge("towline_agents_polling", "Hosts whose poll is held.", registry=self.registry).set_function(polling)
        total = "Requests of hosts that are unknown, or not signed as they should be."
        Gauge("towline_agents_refused", total, registry=self.registry).set_function(refused)

    def called(self, operation: str, code: str, seconds: float) -> None:
        """Counts a call; `operation` empty: it named none that exists. `code` empty: it succeeded."""
        self._calls.labels(operation or OTHER, code).inc()
        self._seconds.labels(operation or OTHER).observe(seconds)

    def serve(self, ip: str, port: int) -> int:
        """Serves /metrics on a thread of its own until the process ends; returns the port. Raises OSError."""
        server, _ = start_http_server(port, addr=ip, registry=self.registry)
        return int(server.server_port)
