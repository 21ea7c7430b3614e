"""CodeDeploy's operations, a module per noun. `HANDLERS` is all that the API answers."""

from __future__ import annotations

from collections.abc import Mapping

from towline.api.operations import (
    applications,
    configs,
    deployments,
    groups,
    instances,
    others,
    revisions,
    tags,
    targets,
)
from towline.api.service import Handler

_MODULES = (applications, groups, configs, revisions, deployments, targets, instances, tags, others)
HANDLERS: Mapping[str, Handler] = {name: handler for module in _MODULES for name, handler in module.HANDLERS.items()}
