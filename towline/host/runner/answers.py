"""Orders that are answered at once: inventory, plan, check, halt, logs."""

import os

from towline.host.runner.check import check
from towline.host.runner.constants import DEFAULT_LOG_BYTES
from towline.host.runner.errors import Refused, cannot_store
from towline.host.runner.files import read_bytes, write_synced
from towline.host.runner.journal import Records, with_room
from towline.host.runner.machine import machine_of
from towline.host.runner.places import Group
from towline.host.runner.preview import preview
from towline.host.runner.text import as_text


def inventory(host, order):
    """What is installed and what last succeeded, by group."""
    ending, groups = "_last_successful_install", set()
    for directory, suffix in ((host.instructions, ending), (host.state + "/groups", ".json")):
        if os.path.isdir(directory):
            groups |= {name[: -len(suffix)] for name in os.listdir(directory) if name.endswith(suffix)}
    found = {}
    for name in sorted(groups):
        group = Group(host, name)
        found[as_text(name)] = {"installed": group.installed(), "succeeded": group.succeeded()}
    return {"kind": "inventory", "groups": found, "machine": machine_of(host)}


def halt(host, order):
    """Asks a deployment to stop. One that has ended already is left alone."""
    deployment = order["deployment"]
    finished = Records(host.journal(deployment)).finished
    if not finished:
        ask_to_halt(host, deployment, order.get("halt"))
    return {"kind": "halt", "deployment": deployment, "finished": bool(finished)}


def ask_to_halt(host, deployment, word):
    """Leaves the request where the runner looks for it; `now` is never softened to `boundary`.

    Raises Refused where the host cannot keep it.
    """
    if word not in ("boundary", "now"):
        raise Refused("InvalidOrder", "halt is neither `boundary` nor `now`")
    if read_bytes(host.halt(deployment)) != b"now":
        try:
            with_room(host.reserve, write_synced, host.halt(deployment), word.encode())
        except OSError as error:
            raise cannot_store("the request to stop, " + host.halt(deployment) + ",", error) from None


def logs(host, order):
    """The script log of a deployment."""
    data = read_bytes(host.script_log(order["group"]["id"], order["deployment"])) or b""
    return {"kind": "logs", "text": as_text(data[-DEFAULT_LOG_BYTES:])}


ANSWERS = {"inventory": inventory, "plan": preview, "check": check, "halt": halt, "logs": logs}
