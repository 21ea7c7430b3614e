"""Deployment ids: making one, and what is one."""

from __future__ import annotations

import re
import secrets
import string

from towline import errors
from towline.model import names


def new_deployment_id() -> str:
    """Return a random id as CodeDeploy makes them: `d-` and nine of A to Z and 0 to 9."""
    return "d-" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(9))


def check_deployment_id(text: str) -> None:
    """Raise `InvalidInput` for a text that cannot be a deployment id: ids become paths on hosts."""
    if not re.match(names.DEPLOYMENT_ID, text):
        raise errors.InvalidInput(
            f"{text!r} is no deployment id.", "Letters, digits, '.', '_' and '-', at most 64, no '.' in front."
        )
