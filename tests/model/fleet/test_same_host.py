"""One host under several names in a group."""

from __future__ import annotations

from typing import Any

import pytest

from towline.model.fleet.instance import FakeAccess, LocalAccess, ProxyJump, SshAccess, Target
from towline.model.fleet.same_host import declared_twice, once_each


def ssh(name: str, host: str | None, port: int | None = None, jump: str = "", **more: Any) -> Target:
    proxy = ProxyJump(host=jump) if jump else None
    return Target(name=name, access=SshAccess(host=host, port=port, proxy_jump=proxy, **more))


def local(name: str, root: str, host: str = "laptop") -> Target:
    return Target(name=name, access=LocalAccess(root=root, host=host))


ONE_HOST = [
    ("one address", ssh("b", "10.0.0.1"), ssh("a", "10.0.0.1")),
    ("the port that is the default", ssh("b", "10.0.0.1", 22), ssh("a", "10.0.0.1")),
    ("letters of a name", ssh("b", "Web.example.com"), ssh("a", "web.example.com")),
    ("a name that is the other's host", ssh("b", None), ssh("a", "b")),
    ("two users and roots", ssh("b", "h", username="x"), ssh("a", "h", deployment_root="/srv/d")),
    ("one address behind one bastion", ssh("b", "10.0.0.1", jump="gate"), ssh("a", "10.0.0.1", jump="gate")),
    ("one local root", local("b", "/srv/h/"), local("a", "/srv/h")),
]
TWO_HOSTS = [
    ("two addresses", ssh("b", "10.0.0.1"), ssh("a", "10.0.0.2")),
    ("two ports", ssh("b", "gate", 2201), ssh("a", "gate", 2202)),
    ("one address behind two bastions", ssh("b", "10.0.0.1", jump="east"), ssh("a", "10.0.0.1", jump="west")),
    ("one root on two machines", local("b", "/srv/h", "one"), local("a", "/srv/h", "two")),
    (
        "played ones",
        Target(name="b", access=FakeAccess()),
        Target(name="a", access=FakeAccess()),
    ),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in ONE_HOST], ids=[row[0] for row in ONE_HOST])
def test_names_of_one_host_count_once(one: Target, other: Target) -> None:
    kept, (warning,) = once_each({one.name: one, other.name: other, "c": ssh("c", "elsewhere")})
    assert list(kept) == ["a", "c"]
    assert warning.startswith("a and b are one host: ") and warning.endswith("; it is deployed to once, as a")


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in TWO_HOSTS], ids=[row[0] for row in TWO_HOSTS])
def test_names_of_two_hosts_stay(one: Target, other: Target) -> None:
    assert once_each({one.name: one, other.name: other}) == ({one.name: one, other.name: other}, [])


def test_what_is_declared_is_compared_with_its_named_settings_within_a_group() -> None:
    after: dict[str, Any] = {
        "ssh/default": {"port": 2222},
        "instance/a": {"instanceName": "a", "ssh": {"host": "10.0.0.1"}},
        "instance/b": {"instanceName": "b", "ssh": {"host": "10.0.0.1", "port": 2222}},
        "instance/c": {"instanceName": "c", "ssh": {"host": "10.0.0.1"}},
    }
    assert declared_twice(after, ["a", "b"]) == ["a and b are one host: 10.0.0.1 port 2222"]
    assert declared_twice(after, ["a"]) == []
