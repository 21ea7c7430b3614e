"""The API's wire: both protocols, signatures and permissions, by botocore's own client against the ASGI application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cbor2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from towline.api.access_keys import AccessKey, read_access_keys
from towline.api.app import MAX_BODY_BYTES, ApiApplication, Call
from towline.api.arns import Arns
from towline.api.coverage import ANSWERED, REFUSED
from towline.api.coverage import page as operations_page
from towline.api.operations import HANDLERS
from towline.api.paging import page
from towline.api.policy import read_policies
from towline.api.rules import RULES, check_members
from towline.api.service_model import operations
from towline.api.sigv4 import Caller, Verifier
from towline.errors import InvalidInput

KEY = AccessKey("TLKEY", "0123456789abcdef", "ci")
JSON_HEADERS = {"host": "towline", "content-type": "application/x-amz-json-1.1"}


class Echo:
    """A service that remembers its calls and answers with one deployment."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def call(self, call: Call) -> Mapping[str, Any]:
        self.calls.append(call)
        return {"deploymentInfo": {"deploymentId": "d-1", "createTime": "2026-01-01T00:00:00.500+00:00"}}

    async def is_ready(self) -> str:
        return ""


def signed(body: bytes, headers: dict[str, str], path: str = "/", key: AccessKey = KEY) -> dict[str, str]:
    request = AWSRequest("POST", f"http://towline{path}", headers=headers, data=body)
    SigV4Auth(Credentials(key.key_id, key.secret), "codedeploy", "eu-west-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


async def post(
    app: ApiApplication, body: bytes, headers: Mapping[str, str], path: str = "/"
) -> tuple[int, dict[str, str], bytes]:
    """One POST; status, headers and body of the answer."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return sent[0]["status"], {n.decode(): v.decode() for n, v in sent[0]["headers"]}, sent[1]["body"]


@pytest.fixture
def service() -> Echo:
    return Echo()


@pytest.fixture
def app(service: Echo) -> ApiApplication:
    return ApiApplication(service, Verifier({KEY.key_id: KEY}.get), Caller(KEY, ""))


def target(operation: str) -> dict[str, str]:
    return {**JSON_HEADERS, "x-amz-target": f"CodeDeploy_20141006.{operation}"}


async def test_json_with_a_signature(app: ApiApplication, service: Echo) -> None:
    body = b'{"deploymentId": "d-1", "unknown": 1}'
    status, headers, answer = await post(app, body, signed(body, target("GetDeployment")))
    assert status == 200 and headers["content-type"] == "application/x-amz-json-1.1" and headers["x-amzn-requestid"]
    assert json.loads(answer) == {"deploymentInfo": {"deploymentId": "d-1", "createTime": 1767225600.5}}
    [call] = service.calls
    assert (call.operation, call.input, call.caller) == (
        "GetDeployment",
        {"deploymentId": "d-1"},
        Caller(KEY, "eu-west-1"),
    )


async def test_cbor_with_a_signature(app: ApiApplication, service: Echo) -> None:
    path = "/service/CodeDeploy_20141006/operation/GetDeployment"
    body = cbor2.dumps({"deploymentId": "d-1"})
    headers = {"host": "towline", "smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
    status, answered, answer = await post(app, body, signed(body, headers, path), path)
    assert (status, answered["smithy-protocol"]) == (200, "rpc-v2-cbor")
    assert cbor2.loads(answer)["deploymentInfo"]["deploymentId"] == "d-1"
    status, _, answer = await post(app, b"\xff", signed(b"\xff", headers, path), path)
    assert status == 400 and cbor2.loads(answer)["__type"] == "com.amazonaws.codedeploy#SerializationException"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"authorization": ""}, "MissingAuthenticationTokenException"),
        ({"authorization": "AWS4-HMAC-SHA256 nonsense"}, "IncompleteSignatureException"),
        ({"x-amz-date": "20200101T000000Z"}, "InvalidSignatureException"),
        ({"x-amz-security-token": "t"}, "UnrecognizedClientException"),
        ({"x-amz-extra": "not signed"}, "IncompleteSignatureException"),
        ({"x-amz-content-sha256": "0" * 64}, "InvalidSignatureException"),
    ],
)
async def test_a_signature_that_does_not_hold_is_refused(
    app: ApiApplication, service: Echo, change: dict[str, str], code: str
) -> None:
    body = b"{}"
    status, _, answer = await post(app, body, {**signed(body, target("ListApplications")), **change})
    assert status in (400, 403) and json.loads(answer)["__type"] == code
    assert not service.calls


async def test_another_body_another_key_and_another_operation_are_refused(app: ApiApplication, service: Echo) -> None:
    good = signed(b"{}", target("ListApplications"))
    other = signed(b"{}", target("ListApplications"), key=AccessKey("TLKEY", "another-secret-key"))
    for body, headers in ((b'{"a": 1}', good), (b"{}", other), (b"{}", {**good, **target("StopDeployment")})):
        status, _, answer = await post(app, body, headers)
        assert status == 400 and json.loads(answer)["__type"] == "InvalidSignatureException"
    assert not service.calls


NONSENSE = [
    b"[" * 100_000,
    b'{"deploymentId": "\\ud800"}',
    b'{"deploymentId": 5}',
    b'{"deploymentId": NaN}',
    b"\xff\xfe{\x00}\x00",
    b"null garbage",
    b'{"deploymentId": ' + b"9" * 5000 + b"}",
    b"[]",
]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
async def test_a_body_that_is_no_input_is_the_clients_error(app: ApiApplication, service: Echo, body: bytes) -> None:
    status, _, answer = await post(app, body, signed(body, target("GetDeployment")))
    assert status == 400 and json.loads(answer)["__type"] == "SerializationException"
    assert not service.calls


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(app: ApiApplication) -> None:
    headers = {**target("GetDeployment"), "content-length": str(MAX_BODY_BYTES + 1)}
    assert (await post(app, b"", headers))[0] == 413


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(operations())), st.data())
def test_no_input_of_any_shape_is_more_than_a_refusal(name: str, data: st.DataObject) -> None:
    from towline.api.errors import ApiError

    operation = operations()[name]
    members = sorted(operation.required | {"nextToken", "applicationName", "deploymentId", "revision", "tags"})
    value = data.draw(st.dictionaries(st.sampled_from(members), JSON_VALUES, max_size=4) | JSON_VALUES)
    try:
        check_members(operation.read(value), operation.required, operation.errors)
    except ApiError as error:
        assert error.status == 400


def test_rules_and_operations_are_of_the_model() -> None:
    codes = {code for operation in operations().values() for code in operation.errors}
    for member, rule in RULES.items():
        assert {rule.required, rule.invalid} - {""} <= codes, member
    assert HANDLERS.keys() <= operations().keys()


def test_access_keys_are_read_with_their_rotation() -> None:
    text = "[ci]\naws_access_key_id=A\naws_secret_access_key=0123456789abcdef\n"
    keys = read_access_keys(text + text.replace("[ci]", "[ci.next]").replace("=A", "=B"), "keys")
    assert {key.name for key in keys.values()} == {"ci"} and "0123456789abcdef" not in repr(keys)
    for wrong, problem in (
        (text.replace("aws_access_key_id=A\n", ""), "aws_access_key_id"),
        (text + text.replace("[ci]", "[b]"), r"\[b\] has the aws_access_key_id of \[ci\]"),
        (text + "aws_session_token=x\n", "aws_session_token"),
        ("nonsense", "keys:"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            read_access_keys(wrong, "keys")


def test_policies_are_evaluated_as_iams() -> None:
    group = Arns("eu-west-1", "000000000000").group
    policies = read_policies(
        {
            "ci": {
                "Statement": [
                    {"Effect": "Allow", "Action": "codedeploy:*", "Resource": group("shop", "*")},
                    {
                        "Effect": "Deny",
                        "Action": ["codedeploy:StopDeployment"],
                        "Resource": group("shop", "production"),
                    },
                ]
            }
        },
        "policy",
    )
    assert policies.allows("ci", "codedeploy:CreateDeployment", group("shop", "production"))
    assert not policies.allows("ci", "codedeploy:StopDeployment", group("shop", "production"))
    assert not policies.allows("ci", "codedeploy:CreateDeployment", group("other", "production"))
    assert not policies.allows("else", "codedeploy:GetDeployment", group("shop", "production"))
    with pytest.raises(InvalidInput, match=r"Statement.0.: conditions"):
        read_policies({"ci": {"Statement": [{"Effect": "Allow", "Condition": {}}]}}, "policy")


@given(st.lists(st.text(max_size=5), unique=True, max_size=40), st.integers(1, 7))
def test_pages_join_to_the_whole_list(items: list[str], size: int) -> None:
    items.sort()
    found, token = page(items, None, lambda one: one, "x", size=size)
    while token:
        more, token = page(items, token, lambda one: one, "x", size=size)
        found += more
    assert found == items


def test_the_page_of_operations_is_true_of_the_installed_model() -> None:
    committed = (Path(__file__).parents[2] / "docs/api-operations.md").read_text(encoding="utf-8")
    assert committed == operations_page(), "python -m towline.api.coverage > docs/api-operations.md"


def test_notes_are_of_operations_and_members_that_exist() -> None:
    assert ANSWERED.keys() <= HANDLERS.keys() <= operations().keys()
    for name, notes in REFUSED.items():
        assert notes.keys() <= set(operations()[name].members)
