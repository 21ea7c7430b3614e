"""What the server writes down of calls: audit records, metrics, and the limit of requests a second."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_wire import KEY, post, signed, target
from towline import errors
from towline.api.app import ApiApplication, Attempt, Call
from towline.api.audit import Audit
from towline.api.errors import access_denied
from towline.api.metrics import Metrics
from towline.api.rate import RateLimit
from towline.api.sigv4 import Caller, Verifier
from towline.store import Store, open_store
from towline.store.journal import Journal


class Denies:
    """Answers everything but ListDeployments, which it denies."""

    async def call(self, call: Call) -> Mapping[str, Any]:
        if call.operation == "ListDeployments":
            raise access_denied("not you")
        return {}

    async def is_ready(self) -> str:
        return ""


def records(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(one.getMessage()) for one in caplog.records if one.name == "towline.audit"]


async def test_changes_and_denials_are_recorded_and_reads_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "towline.audit")
    store = open_store(str(tmp_path))

    async def its_store() -> Store:
        return store

    audit = Audit(its_store)

    def ended(attempt: Attempt, code: str) -> None:
        assert attempt.operation and attempt.caller
        key = attempt.caller.key
        audit.record(
            attempt.operation.name,
            attempt.input,
            user=key.name,
            key_id=key.key_id,
            request_id=attempt.request_id,
            code=code,
        )

    app = ApiApplication(Denies(), Verifier({KEY.key_id: KEY}.get), Caller(KEY, ""), on_end=ended)
    for operation, body in (
        ("ListApplications", b"{}"),
        ("ListDeployments", b"{}"),
        ("CreateApplication", b'{"applicationName": "shop"}'),
        ("CreateDeployment", b'{"applicationName": "shop", "deploymentGroupName": "qa", "description": "private"}'),
    ):
        await post(app, body, signed(body, target(operation)))
    await audit.close()
    first, second, third = records(caplog)
    assert (first["operation"], first["error"], first["user"]) == ("ListDeployments", "AccessDeniedException", "ci")
    assert (second["operation"], second["error"], second["applicationName"]) == ("CreateApplication", None, "shop")
    assert third["deploymentGroupName"] == "qa" and "private" not in json.dumps(third)
    assert KEY.secret not in caplog.text
    assert Journal(store, "audit").read_new() == [first, second, third]


async def test_records_wait_for_a_store_that_is_out_of_reach(tmp_path: Path) -> None:
    reachable = False

    async def its_store() -> Store:
        if not reachable:
            raise errors.OurFault("no store")
        return open_store(str(tmp_path))

    audit = Audit(its_store)
    audit.record("StopDeployment", {"deploymentId": "d-1"}, user="ci", key_id="K", request_id="1")
    await audit.close()
    reachable = True
    await audit.close()
    (entry,) = Journal(open_store(str(tmp_path)), "audit").read_new()
    assert entry["deploymentId"] == "d-1"


async def test_a_key_that_sends_too_much_is_throttled_and_others_are_not() -> None:
    other = type(KEY)("TLOTHER", KEY.secret, "other")
    keys = {KEY.key_id: KEY, other.key_id: other}
    app = ApiApplication(Denies(), Verifier(keys.get), Caller(KEY, ""), rate=RateLimit(3))
    answers = [await post(app, b"{}", signed(b"{}", target("ListApplications"))) for _ in range(8)]
    refused = [json.loads(body)["__type"] for status, _, body in answers if status == 400]
    assert "ThrottlingException" in refused and len(refused) <= 5
    assert (await post(app, b"{}", signed(b"{}", target("ListApplications"), key=other)))[0] == 200


def test_metrics_are_read_by_prometheus_text_format() -> None:
    metrics = Metrics()
    metrics.called("GetDeployment", "", 0.004)
    metrics.called("", "UnknownOperationException", 0.001)
    port = metrics.serve("127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert 'towline_api_calls_total{code="",operation="GetDeployment"} 1.0' in text
    assert 'towline_api_calls_total{code="UnknownOperationException",operation="other"} 1.0' in text
    assert 'towline_api_call_seconds_bucket{le="0.005",operation="GetDeployment"} 1.0' in text
    assert "process_resident_memory_bytes" in text
