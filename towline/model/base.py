"""The two bases of towline's messages: ours in snake_case, CodeDeploy's shapes in camelCase."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Message(BaseModel):
    """Crosses between client, workflow and activity. Unknown fields are ignored: a newer worker may add some."""

    # Built at first use: no command needs them all, and building takes a tenth of its start.
    model_config = ConfigDict(frozen=True, defer_build=True)


class ApiShape(BaseModel):
    """A shape of CodeDeploy's API, read by its camelCase names.

    What people write is read with `extra="forbid"` and `by_name=False`, so that a misspelt key, or `identity_file` for
    `identityFile`, is an error (`request.py`, `manifest/parser.py`).
    What a worker of the next version wrote, into Temporal or the store, is read by this one too: it ignores new keys.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)
