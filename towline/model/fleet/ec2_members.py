"""Messages for the EC2 members of groups: only workers query AWS, so `apply` and `instances` ask a worker."""

from __future__ import annotations

from towline.model.base import Message
from towline.model.fleet.targets import Ec2Source
from towline.model.group.group import DeploymentGroup


class AskEc2(Message):
    """A query for the EC2 members of groups, as declared or about to be."""

    groups: tuple[DeploymentGroup, ...]
    sources: tuple[Ec2Source, ...]


class Ec2Member(Message):
    """An EC2 instance of a group."""

    name: str
    zone: str = ""
    address: str = ""
    state: str = ""


class Ec2Members(Message):
    """The members of one group, `application/group`; `problem` says why they are unknown."""

    group: str
    members: tuple[Ec2Member, ...] = ()
    problem: str = ""


class Ec2Found(Message):
    """The answer, in the order of the query."""

    groups: tuple[Ec2Members, ...]
