"""How a frozen target is reached now, by what is declared at the moment of the connect."""

from __future__ import annotations

from typing import Any

import pytest

from towline.model.fleet.current import current_ssh
from towline.model.fleet.instance import SshAccess, SshSettings, Target

OLD = SshAccess(host="10.0.0.1", identity_file="/old", username="deploy")
NAMED = {"default": SshSettings(identity_file="/new"), "dc1": SshSettings(username="ops")}


def of(source: str, value: dict[str, Any] | None) -> SshSettings:
    return current_ssh(Target(name="web-01", access=OLD, source=source), value, NAMED)


CASES: list[tuple[str, str, dict[str, Any] | None, SshSettings]] = [
    (
        "named settings that changed are in force",
        "instance/web-01",
        {"instanceName": "web-01", "use": "dc1", "ssh": {"host": "10.0.0.9"}},
        SshAccess(host="10.0.0.9", identity_file="/new", username="ops"),
    ),
    (
        "without a host its name is the host",
        "instance/web-01",
        {"instanceName": "web-01"},
        SshAccess(host="web-01", identity_file="/new"),
    ),
    ("it is not declared any more", "instance/web-01", None, OLD),
    ("its settings are gone", "instance/web-01", {"instanceName": "web-01", "use": "gone"}, OLD),
    ("it has become a local one", "instance/web-01", {"instanceName": "web-01", "local": {"root": "/srv"}}, OLD),
    ("its record cannot be read", "instance/web-01", {"zone": "a"}, OLD),
    (
        "EC2 told its address when the fleet was frozen",
        "ec2/eu-west-1",
        {"region": "eu-west-1", "ssh": {"use": "dc1"}},
        SshAccess(host="10.0.0.1", identity_file="/new", username="ops"),
    ),
]


@pytest.mark.parametrize(("source", "value", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_settings_are_those_declared_now(source: str, value: dict[str, Any] | None, expected: SshSettings) -> None:
    assert of(source, value) == expected
