"""Whether a host could take a deployment."""

import os
import sys
import time

from towline.host.runner.errors import Refused
from towline.host.runner.files import read_bytes
from towline.host.runner.machine import machine_of
from towline.host.runner.text import as_text
from towline.host.runner.tools import find_tool


def check(host, order):
    """Whether this host could take a deployment."""
    findings = []

    def finding(name, ok, message):
        findings.append({"name": name, "ok": bool(ok), "message": as_text(message)})

    finding("python", True, "Python %s, %s" % (sys.version.split()[0], sys.executable))
    is_root = os.geteuid() == 0
    finding(
        "root", is_root or host.root, "user id %d%s" % (os.geteuid(), "" if is_root else "; only root may set owners")
    )
    try:
        host.make()
        finding("roots", True, "%s and %s can be written" % (host.deployments, host.state))
    except Refused as refused:
        finding("roots", False, refused.message)
    finding("disk", *disk_finding(host, order))
    agent = aws_agent()
    allowed = order.get("allow_aws_agent") or host.root
    finding(
        "aws-agent",
        not agent or allowed,
        "AWS's agent runs (process %d)" % agent if agent else "AWS's agent does not run",
    )
    missing = missing_tools(order)
    finding("tools", not missing, "missing: " + ", ".join(missing) if missing else "nothing is missing")
    finding("clock", True, "compare `time` with your own")
    return {"kind": "check", "findings": findings, "time": time.time(), "machine": machine_of(host)}


def disk_finding(host, order):
    """(ok, message): room for the archive, its unpacked form and its installed form, four times its size in all."""
    place = host.deployments
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    info = os.statvfs(place)
    free = info.f_bavail * info.f_frsize
    needed = max(100 << 20, 4 * ((order.get("revision") or {}).get("size") or 0))
    return free >= needed, "%d MiB free at %s, %d needed" % (free >> 20, place, needed >> 20)


def missing_tools(order):
    """Programs that this plan needs and this host has not."""
    plan = order.get("plan") or {}
    needed = set()
    for permission in plan.get("permissions") or ():
        needed |= {"setfacl"} if permission.get("acls") is not None else set()
        needed |= {"semanage", "restorecon"} if permission.get("context") is not None else set()
    for scripts in (plan.get("hooks") or {}).values():
        for script in scripts:
            needed |= {"su"} if script.get("runas") is not None else set()
            needed |= {"sudo"} if script.get("sudo") else set()
    return sorted(name for name in needed if not find_tool(name))


def aws_agent():
    """The number of a process of AWS's agent, or 0: Ruby's calls itself `codedeploy-agent: ...`."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        words = (read_bytes("/proc/%s/cmdline" % name) or b"").split(b"\0")
        first = words[0]
        if first.startswith(b"codedeploy-agent:") or first.rsplit(b"/", 1)[-1] == b"codedeploy-agent":
            return int(name)
        if b"ruby" in first and any(word.endswith(b"bin/codedeploy-agent") for word in words[1:3]):
            return int(name)
    return 0
