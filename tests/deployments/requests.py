"""A request to deploy, as tests vary it."""

from __future__ import annotations

from typing import Any

from towline.model.bundle.revision import RevisionLocation
from towline.model.messages.deploy import DeployRequest


def request(**members: Any) -> DeployRequest:
    """A request for shop/web with these members."""
    location = RevisionLocation.parse("s3://b/k.tgz")
    given: dict[str, Any] = {
        "application_name": "shop",
        "deployment_group_name": "web",
        "revision": location,
        **members,
    }
    return DeployRequest(**given)
