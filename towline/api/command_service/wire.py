"""The members of CodeDeployCommandService's inputs, and which operation a request asks for.

Source: the agent's own copy of the model, `CodeDeployCommand.api.json`. Lengths are bounded by the body's.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from towline.api.errors import serialization

SERVICES = ("codedeploy-commands", "codedeploy-commands-secure")
"""What agents sign for; the second one with `enable_auth_policy`."""
TARGETS = ("CodeDeployCommandService_v20141006.", "CodeDeployCommandService.")

M = TypeVar("M", bound=BaseModel)


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_pascal)


class Envelope(_Input):
    """The model's Envelope: diagnostics are one."""

    format: str = ""
    payload: str | None = None


class Poll(_Input):
    """PollHostCommand's input."""

    host_identifier: str = Field(min_length=1)


class Specification(_Input):
    """GetDeploymentSpecification's input."""

    deployment_execution_id: str = Field(min_length=1)
    host_identifier: str = Field(min_length=1)


class Acknowledgement(_Input):
    """PutHostCommandAcknowledgement's input."""

    host_command_identifier: str = Field(min_length=1)
    diagnostics: Envelope | None = None


class Completion(_Input):
    """PutHostCommandComplete's input."""

    host_command_identifier: str = Field(min_length=1)
    command_status: Literal["Pending", "InProgress", "Succeeded", "Failed"]
    diagnostics: Envelope | None = None


class Update(_Input):
    """PostHostCommandUpdate's input; neither generation of the agent sends it."""

    host_command_identifier: str = Field(min_length=1)


def operation_of(target: str) -> str:
    """The operation of an X-Amz-Target; empty: it is none of this service.

    >>> operation_of("CodeDeployCommandService_v20141006.PollHostCommand"), operation_of("CodeDeploy_20141006.GetGroup")
    ('PollHostCommand', '')
    """
    return next((target.removeprefix(one) for one in TARGETS if target.startswith(one)), "")


def read(model: type[M], value: Any) -> M:
    """Reads an input. Raises ApiError (SerializationException) that names the member."""
    try:
        return model.model_validate({} if value is None else value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"]) or "The body"
        raise serialization(f"{where}: {found['msg']}") from None
