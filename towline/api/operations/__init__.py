"""CodeDeploy's operations, a module per noun. `HANDLERS` is all that the API answers."""

from __future__ import annotations

from collections.abc import Mapping

from towline.api.operations import applications, deployments, groups
from towline.api.service import Handler

HANDLERS: Mapping[str, Handler] = {**applications.HANDLERS, **groups.HANDLERS, **deployments.HANDLERS}
