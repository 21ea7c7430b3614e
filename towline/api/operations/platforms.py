"""Compute platforms: servers are the only one."""

from __future__ import annotations

from towline.api.errors import ApiError

PLATFORMS = ("Server", "Lambda", "ECS")


def check_platform(given: str | None) -> None:
    """Raises ApiError (InvalidComputePlatformException) for another platform than Server; none is Server."""
    platform = given or "Server"
    code = "InvalidComputePlatformException"
    if platform not in PLATFORMS:
        raise ApiError(
            code, f"ComputePlatform '{platform}' is not valid. Valid values are [Server, Lambda, ECS, Kubernetes]"
        )
    if platform != "Server":
        raise ApiError(
            code, f"towline deploys to servers: the compute platform {platform} is not supported, only Server"
        )
