"""Errors of the API: a code of CodeDeploy's model or of AWS's common errors, and a message."""

from __future__ import annotations


class ApiError(Exception):
    """An answer that is an error. `code` is the shape's name; `status` the HTTP status, which AWS leaves at 400."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def serialization(message: str) -> ApiError:
    """The request's body cannot be read as what the operation takes."""
    return ApiError("SerializationException", message)


def access_denied(message: str) -> ApiError:
    """The caller is known, and may not do this."""
    return ApiError("AccessDeniedException", message)


def throttled() -> ApiError:
    """The caller has used up its rate; SDKs wait and try again."""
    return ApiError("ThrottlingException", "Rate exceeded")


def unknown_operation(name: str) -> ApiError:
    """CodeDeploy has no operation of that name."""
    return ApiError("UnknownOperationException", f"CodeDeploy has no operation {name!r}." if name else "")


def not_supported(what: str) -> ApiError:
    """Valid in CodeDeploy, and not built in towline."""
    return not_built(f"towline does not support {what}.")


def not_built(message: str) -> ApiError:
    """The same in a sentence of the caller's. 501, so that no client tries it again."""
    return ApiError("NotImplementedException", message, 501)
