"""The only user of boto3: creates clients on demand and translates AWS's errors.

Importing boto3 takes a quarter of a second, so it is imported inside functions here and nowhere else. AWS's environment
variables, profiles and endpoints (`AWS_ENDPOINT_URL_S3`, …) work as usual.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from towline.errors import InvalidBundle, InvalidInput, NotFound, OurFault, TowlineError

_NOT_FOUND = {
    "404",
    "NoSuchKey",
    "NoSuchBucket",
    "NoSuchVersion",
    "NotFound",
    "MethodNotAllowed",  # a version that is a delete marker
    "ResourceNotFoundException",
    "ParameterNotFound",
}
_CHECK_NAME = "Check bucket, key and version"
_CREDENTIALS = "Check the credentials of this machine with: aws sts get-caller-identity"
_making = threading.Lock()  # creating a client from a boto3 session is not thread-safe; clients are


def client(service: str, region: str | None = None) -> Any:
    """A new client of an AWS service; raises OurFault if it needs a region and none is configured."""
    import boto3.session
    from botocore.config import Config

    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 4},
        signature_version="s3v4" if service == "s3" else None,
    )
    with _making, translated(f"AWS {service}"):
        try:
            return boto3.session.Session().client(service, region_name=region, config=config)  # type: ignore[call-overload]
        except ValueError as error:  # botocore raises it for an invalid endpoint URL
            raise OurFault(f"AWS {service}: {error}", "Check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3") from error


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translates botocore's errors: absent is NotFound, badly named InvalidInput, denied or unreachable OurFault.

    `what` names the resource in messages, such as `s3://bucket/key`.
    """
    import boto3.exceptions
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        yield
    except ClientError as error:
        raise _from_client_error(what, error.response) from error
    except boto3.exceptions.Boto3Error as error:  # from the transfer manager, with the ClientError only as text
        raise OurFault(f"{what}: {error}", _CREDENTIALS) from error
    except ParamValidationError as error:  # raised before the request: the name is invalid
        rule = str(error).removeprefix("Parameter validation failed:").strip()
        raise InvalidInput(f"{what}: {rule}", _CHECK_NAME) from error
    except BotoCoreError as error:
        raise OurFault(f"{what}: {error}", _CREDENTIALS) from error


def _from_client_error(what: str, response: Any) -> TowlineError:
    details = response.get("Error", {})
    code, said = str(details.get("Code", "")), details.get("Message", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "InvalidObjectState":
        kind = details.get("StorageClass") or "Glacier"
        hint = "Restore it with: aws s3api restore-object. Deploy again when that is done"
        return InvalidInput(f"{what}: the object is archived ({kind}) and has to be restored first", hint)
    if code in _NOT_FOUND or status == 404:
        return NotFound(f"{what}: no such object ({code})", _CHECK_NAME)
    if code in ("PreconditionFailed", "412"):
        return InvalidBundle(f"{what}: it is not the object of the given ETag", "It was replaced: deploy again")
    if status in (401, 403):
        hint = f"{_CREDENTIALS} (S3 also answers so for an absent key where listing is not allowed)"
        return OurFault(f"{what}: access refused ({code}: {said})", hint)
    if code in ("InvalidArgument", "NoSuchVersionId") or status == 400:
        return InvalidInput(f"{what}: {said or code}", _CHECK_NAME)
    return OurFault(f"{what}: {code} {said}".rstrip())
