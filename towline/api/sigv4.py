"""Signature Version 4 in the Authorization header, checked by botocore's own signer.

Source: AWS's documentation, "Authenticating requests (AWS Signature Version 4)". A query signature, a session token, an
unsigned or streamed body and a header that should be signed and is not are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPMessage
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from towline.api.access_keys import AccessKey
from towline.api.errors import ApiError

SERVICE = "codedeploy"
S3 = "s3"
SESSION_TOKENS_REFUSED = (
    "Session tokens are AWS's to check, not towline's: give this job an access key of towline's own "
    "(access keys file of `towline api`) instead of a role."
)
MAX_SKEW_SECONDS = 300
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^/,\s]{1,128})/(\d{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request,"
    r" *SignedHeaders=([a-z0-9;-]{1,4096}), *Signature=([0-9a-f]{64})"
)
NOT_SIGNED_BY_CLIENTS = frozenset({"x-amzn-trace-id", "x-amz-content-sha256"})
"""Headers that botocore or a proxy adds behind the signature; `amz-sdk-*` do not begin with `x-amz-`."""


@dataclass(frozen=True)
class Request:
    """What is signed of a request. `headers` by lower-case name; `query` without `?`."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Caller:
    """Who signed a request, and the region that was signed for."""

    key: AccessKey
    region: str


@dataclass
class Verifier:
    """Checks signatures. `find` gives the access key of an id, or None; `now` the time in seconds since 1970.

    `services` are those that may be signed for, `session_tokens` is the answer to requests that have one.
    """

    find: Callable[[str], AccessKey | None]
    now: Callable[[], float] = time.time
    services: tuple[str, ...] = (SERVICE,)
    session_tokens: str = SESSION_TOKENS_REFUSED

    def verify(self, request: Request) -> Caller:
        """Who signed it. Raises ApiError with the code that AWS answers for the same mistake."""
        header = request.headers.get("authorization", "")
        if not header:
            raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        match = AUTHORIZATION.fullmatch(header)
        if not match:
            raise ApiError(
                "IncompleteSignatureException", "The Authorization header is not of AWS4-HMAC-SHA256's form."
            )
        key_id, date, region, service, signed, signature = match.groups()
        signed_names = signed.split(";")
        self._check_form(request, signed_names, service)
        stamp = self._check_time(request, date)
        key = self.find(key_id)
        if key is None:
            raise ApiError("UnrecognizedClientException", "The security token included in the request is invalid.")
        expected = _signature(request, signed_names, key, service, region, stamp)
        if not hmac.compare_digest(expected, signature):
            raise ApiError(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details.",
            )
        return Caller(key, region)

    def _check_form(self, request: Request, signed: list[str], service: str) -> None:
        if request.headers.get("x-amz-security-token"):
            raise ApiError("UnrecognizedClientException", self.session_tokens)
        if service not in self.services:
            wanted = " or ".join(f"'{one}'" for one in self.services)
            raise ApiError("InvalidSignatureException", f"Credential should be scoped to correct service: {wanted}.")
        required = {"host"} | {
            name for name in request.headers if name.startswith("x-amz-") and name not in NOT_SIGNED_BY_CLIENTS
        }
        if missing := sorted(required - set(signed)):
            raise ApiError(
                "IncompleteSignatureException", f"Headers that must be signed are not: {', '.join(missing)}."
            )
        if absent := sorted(name for name in signed if name not in request.headers):
            raise ApiError("IncompleteSignatureException", f"Signed headers are missing: {', '.join(absent)}.")
        told = request.headers.get("x-amz-content-sha256")
        if told is not None and not hmac.compare_digest(told.encode(), _digest(request.body).encode()):
            raise ApiError("InvalidSignatureException", "x-amz-content-sha256 is not the SHA-256 of the body.")

    def _check_time(self, request: Request, date: str) -> str:
        stamp = request.headers.get("x-amz-date", "")
        try:
            signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise ApiError("IncompleteSignatureException", "X-Amz-Date is missing or no date.") from None
        if not stamp.startswith(date):
            raise ApiError(
                "InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD of X-Amz-Date."
            )
        now = self.now()
        if abs(now - signed_at) > MAX_SKEW_SECONDS:
            word = "expired" if signed_at < now else "not yet current"
            shown = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
            raise ApiError(
                "InvalidSignatureException",
                f"Signature {word}: {stamp} is more than {MAX_SKEW_SECONDS // 60} min. from {shown}, the time here.",
            )
        return stamp


class _Signer(SigV4Auth):
    """Signs exactly the headers that the client signed."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        return request.context["signed"]


class _S3Signer(S3SigV4Auth):
    """The same for S3, where the path is signed as it is."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        return request.context["signed"]


def _signature(request: Request, signed: list[str], key: AccessKey, service: str, region: str, stamp: str) -> str:
    headers = HTTPMessage()
    for name in signed:
        headers[name] = request.headers[name]
    url = f"http://towline{request.path}" + (f"?{request.query}" if request.query else "")
    aws = AWSRequest(method=request.method, url=url, data=request.body)
    aws.headers["X-Amz-Content-SHA256"] = _digest(request.body)
    aws.context.update(timestamp=stamp, signed=headers)
    kind = _S3Signer if service == S3 else _Signer
    signer = kind(Credentials(key.key_id, key.secret), service, region)
    result: str = signer.signature(signer.string_to_sign(aws, signer.canonical_request(aws)), aws)
    return result


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
