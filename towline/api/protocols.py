"""The two protocols of CodeDeploy's model: AWS JSON 1.1 and Smithy RPC v2 CBOR.

Sources: the model's metadata; smithy.io, "AWS JSON 1.1 protocol" and "Smithy RPC v2 CBOR protocol".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cbor2

from towline.api.errors import ApiError, serialization, unknown_operation
from towline.api.service_model import Timestamp

TARGET_PREFIX = "CodeDeploy_20141006."
CBOR_PATH = re.compile(r"/service/CodeDeploy_20141006/operation/([A-Za-z]{1,100})")
ERROR_NAMESPACE = "com.amazonaws.codedeploy#"
MAX_DEPTH = 32
"""No input of the model nests deeper than ten levels."""


class WireProtocol(Protocol):
    """How bodies and errors look on the wire. Header names are lower-case."""

    content_type: str

    def decode(self, body: bytes) -> Any:
        """A request's body; raises ApiError (SerializationException)."""

    def encode(self, value: Mapping[str, Any]) -> bytes:
        """An answer's body."""

    def encode_error(self, error: ApiError) -> bytes:
        """An error's body."""

    def headers(self, error: ApiError | None) -> dict[str, str]:
        """Further headers of an answer."""


class Json11:
    """AWS JSON 1.1: the operation in `X-Amz-Target`, times as seconds with a fraction."""

    content_type = "application/x-amz-json-1.1"

    def decode(self, body: bytes) -> Any:
        """See WireProtocol. As text, since `json.loads` of bytes would take UTF-16 too."""
        if not body.strip():
            return None
        try:
            return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise serialization("The body is not JSON in UTF-8.") from error

    def encode(self, value: Mapping[str, Any]) -> bytes:
        """See WireProtocol."""
        return json.dumps(value, default=_json_time, separators=(",", ":")).encode()

    def encode_error(self, error: ApiError) -> bytes:
        """See WireProtocol."""
        return self.encode({"__type": error.code, "message": error.message})

    def headers(self, error: ApiError | None) -> dict[str, str]:
        """See WireProtocol."""
        return {"x-amzn-errortype": error.code} if error else {}


class RpcV2Cbor:
    """Smithy RPC v2 CBOR: the operation in the path, times with tag 1."""

    content_type = "application/cbor"

    def decode(self, body: bytes) -> Any:
        """See WireProtocol."""
        if not body:
            return None
        try:
            return cbor2.loads(body, max_depth=MAX_DEPTH)
        except (cbor2.CBORDecodeError, ValueError, OverflowError, RecursionError, TypeError) as error:
            raise serialization("The body is not CBOR.") from error

    def encode(self, value: Mapping[str, Any]) -> bytes:
        """See WireProtocol."""
        return cbor2.dumps(value, default=_cbor_time)

    def encode_error(self, error: ApiError) -> bytes:
        """See WireProtocol."""
        return self.encode({"__type": ERROR_NAMESPACE + error.code, "message": error.message})

    def headers(self, error: ApiError | None) -> dict[str, str]:
        """See WireProtocol."""
        return {"smithy-protocol": "rpc-v2-cbor"}


JSON, CBOR = Json11(), RpcV2Cbor()


@dataclass(frozen=True)
class RequestedOperation:
    """What a request asks for: the operation's name and the protocol it is asked in."""

    operation: str
    protocol: WireProtocol


def target_of(path: str, headers: Mapping[str, str]) -> RequestedOperation:
    """The operation and protocol of a POST. Raises ApiError (UnknownOperationException).

    >>> target_of("/", {"x-amz-target": "CodeDeploy_20141006.GetDeployment"}).operation
    'GetDeployment'
    """
    if headers.get("smithy-protocol") == "rpc-v2-cbor" or path.startswith("/service/"):
        match = CBOR_PATH.fullmatch(path)
        if not match:
            raise unknown_operation("")
        return RequestedOperation(match[1], CBOR)
    name = headers.get("x-amz-target", "")
    if not name.startswith(TARGET_PREFIX):
        raise unknown_operation("")
    return RequestedOperation(name.removeprefix(TARGET_PREFIX), JSON)


def _json_time(value: Any) -> Any:
    if isinstance(value, Timestamp):
        return round(value.seconds, 3)
    raise TypeError(f"{type(value).__name__} cannot be JSON")


def _cbor_time(encoder: Any, value: Any) -> None:
    if not isinstance(value, Timestamp):
        raise TypeError(f"{type(value).__name__} cannot be CBOR")
    encoder.encode(cbor2.CBORTag(1, round(value.seconds, 3)))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
