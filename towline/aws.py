"""boto3 behind one door: clients made when they are first needed, and AWS's errors in our words.

boto3 takes a quarter of a second to import, so it is imported here, inside functions, and nowhere else. AWS's own
environment variables, profiles and endpoints (`AWS_ENDPOINT_URL_S3`, ...) work as their users expect.
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
_making = threading.Lock()  # boto3's session is not thread-safe while it makes clients; clients are


def client(service: str, region: str | None = None) -> Any:
    """A new client of an AWS service; raises OurFault where no region is known for one that needs it."""
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
        except ValueError as error:  # botocore's way to say that an endpoint is no address
            raise OurFault(f"AWS {service}: {error}", "Check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3") from error


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns botocore's errors into ours: absent is NotFound, misnamed InvalidInput, refused or out of reach OurFault.

    `what` names the thing for people, such as `s3://bucket/key`.
    """
    import boto3.exceptions
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        yield
    except ClientError as error:
        raise _from_client_error(what, error.response) from error
    except boto3.exceptions.Boto3Error as error:  # the transfer manager's, with the ClientError only as text
        raise OurFault(f"{what}: {error}", _CREDENTIALS) from error
    except ParamValidationError as error:  # found before anything is sent: no such name can exist
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
        return InvalidBundle(f"{what}: it is not the object of the given ETag", "Somebody has replaced it: deploy anew")
    if status in (401, 403):
        hint = f"{_CREDENTIALS} (S3 also answers so for an absent key where listing is not allowed)"
        return OurFault(f"{what}: access refused ({code}: {said})", hint)
    if code in ("InvalidArgument", "NoSuchVersionId") or status == 400:
        return InvalidInput(f"{what}: {said or code}", _CHECK_NAME)
    return OurFault(f"{what}: {code} {said}".rstrip())
