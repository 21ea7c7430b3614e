"""Requests made from CodeDeploy's model, most of them wrong: answered or refused, never with a 5xx.

Against the real server, whose log must have no traceback (see the fixture `api`).
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import botocore.loaders
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import SECRET, Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("codedeploy", "service-2"), "codedeploy")
# None of these is what other tests of this package use: some requests are right, and delete.
NAMES = ("fuzzed", "fuzzed-group", "d-NONE00000", "fuzzed-1", "none", "", "a b", "\x00", "é" * 50, "../..", "x" * 300)
NONSENSE: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def of_shape(shape: Shape, wrong: bool, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a shape, with required members; `wrong`: with values of other types here and there."""
    if depth > 4:
        return NONSENSE
    right: st.SearchStrategy[Any]
    if isinstance(shape, StructureShape):
        members = {name: of_shape(member, wrong, depth + 1) for name, member in shape.members.items()}
        always = {} if wrong else {name: members.pop(name) for name in shape.required_members}
        right = st.fixed_dictionaries(always, optional=members)
    elif isinstance(shape, ListShape):
        right = st.lists(of_shape(shape.member, wrong, depth + 1), max_size=4)
    elif isinstance(shape, MapShape):
        right = st.dictionaries(st.sampled_from(NAMES), of_shape(shape.value, wrong, depth + 1), max_size=3)
    elif shape.type_name == "string":
        values = getattr(shape, "enum", None) or NAMES
        right = st.one_of(st.sampled_from(values), st.sampled_from(NAMES), st.text(max_size=20))
    elif shape.type_name == "boolean":
        right = st.booleans()
    elif shape.type_name == "timestamp":
        right = st.floats(0, 4e9)
    else:
        right = st.integers(-5, 2**40)
    return st.one_of(right, right, right, NONSENSE) if wrong else right


def of_operation(name: str, wrong: bool) -> st.SearchStrategy[Any]:
    shape = MODEL.operation_model(name).input_shape
    return of_shape(shape, wrong) if shape else NONSENSE


REQUESTS = st.tuples(st.sampled_from(MODEL.operation_names), st.sampled_from((False, False, False, True))).flatmap(
    lambda drawn: st.tuples(st.just(drawn[0]), of_operation(*drawn))
)


def answer(url: str, operation: str, body: bytes) -> tuple[int, bytes]:
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": f"CodeDeploy_20141006.{operation}",
        "host": urlsplit(url).netloc,
    }
    request = AWSRequest("POST", f"{url}/", headers=headers, data=body)
    SigV4Auth(Credentials("TLCI", SECRET), "codedeploy", "eu-west-1").add_auth(request)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("POST", "/", body, dict(request.headers.items()))
        got = connection.getresponse()
        return got.status, got.read()
    finally:
        connection.close()


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(REQUESTS)
def test_no_request_made_from_the_model_is_the_servers_fault(api: Api, request: tuple[str, Any]) -> None:
    operation, given_input = request
    status, body = answer(api.url, operation, json.dumps(given_input).encode("utf-8", "surrogatepass"))
    assert status in (200, 400, 501), (operation, given_input, body)
    answered = json.loads(body)
    if status != 200:
        code = answered["__type"]
        known = {shape.name for shape in MODEL.operation_model(operation).error_shapes}
        common = {"SerializationException", "InvalidInputException", "NotImplementedException", "ValidationException"}
        assert code in known | common, (operation, given_input, answered)
