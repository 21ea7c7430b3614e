"""The question who is in a group on EC2: only a worker may ask AWS, so that `apply` and `instances` ask a worker."""

from __future__ import annotations

from towline.model.base import Message
from towline.model.fleet.targets import Ec2Source
from towline.model.group.group import DeploymentGroup


class AskEc2(Message):
    """Asks for the EC2 members of groups, as these are or would be declared."""

    groups: tuple[DeploymentGroup, ...]
    sources: tuple[Ec2Source, ...]


class Ec2Member(Message):
    """An EC2 instance of a group."""

    name: str
    zone: str = ""
    address: str = ""
    state: str = ""


class Ec2Members(Message):
    """Those of one group, `application/group`; `problem` says why they are not known."""

    group: str
    members: tuple[Ec2Member, ...] = ()
    problem: str = ""


class Ec2Found(Message):
    """The answer, in the order of the question."""

    groups: tuple[Ec2Members, ...]
