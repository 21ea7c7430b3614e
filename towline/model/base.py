"""The two bases of towline's messages: ours in snake_case, CodeDeploy's shapes in camelCase."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Message(BaseModel):
    """Crosses between client, workflow and activity. Unknown fields are ignored: a newer worker may add some."""

    model_config = ConfigDict(frozen=True)


class ApiShape(BaseModel):
    """A shape of CodeDeploy's API, read by its camelCase names; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)
