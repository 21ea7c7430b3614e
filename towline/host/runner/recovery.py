"""Ends what a runner that died has left, and reports it as interrupted."""

import time

from towline.host.runner.constants import FAILED_AFTER_RESTART, TERM_TO_KILL
from towline.host.runner.errors import Refused
from towline.host.runner.files import read_bytes, remove
from towline.host.runner.journal import Journal, Records
from towline.host.runner.json_binding import dumps
from towline.host.runner.processes import alive, boot_id, family, kill_all, process, send_signal
from towline.host.runner.quick_signal import signal
from towline.host.runner.text import is_id


def recover(host, own):
    """Ends what a runner that died has left. Whoever has just taken the host lock calls this first.

    `own` is looked at in any case: a journal that lost its end would else be followed for ever."""
    named = (read_bytes(host.working) or b"").decode("utf-8", "replace").strip()
    for deployment in filter(is_id, (named, own)):
        records = Records(host.journal(deployment))
        if records.all and not records.finished:
            end_open_script(records)
            write_interrupted(host, deployment, records)
    remove(host.working)


def end_open_script(records):
    """The processes of a script that has no end in the journal: TERM, then KILL; checked by boot and start time."""
    script = records.open_step("script_started", "script_ended")
    started = next((record for record in records.all if record.get("kind") == "started"), {})
    if not script or started.get("boot_id") != boot_id():
        return
    leader = process(script["pid"])
    if leader and leader[2] != script["start_time"]:
        return  # another process has that number now
    members = family(script["pid"])
    if not leader:
        # without its leader a session is known by its number only: the environment tells whose it is
        mark = ("DEPLOYMENT_ID=" + (records.key or {}).get("deployment", "")).encode()
        members = {
            pid: start
            for pid, start in members.items()
            if mark in (read_bytes("/proc/%d/environ" % pid) or b"").split(b"\0")
        }
    send_signal(members, signal.SIGTERM)
    ends = time.monotonic() + TERM_TO_KILL
    while alive(members):
        if time.monotonic() >= ends:
            if leader:
                kill_all(script["pid"], members)
            else:
                send_signal(members, signal.SIGKILL)
            ends += 1
        time.sleep(0.02)


def write_interrupted(host, deployment, records):
    """Ends a journal whose runner died: nothing of it is run again, and nothing of it counts as done."""
    last = records.all[-1]
    base = time.monotonic() - (last.get("offset") or 0)
    journal = Journal(host.journal(deployment), last.get("seq", 0), base, reserve=host.reserve)
    event = records.open_step("event_started", "event_ended")
    name = event["event"] if event else ""
    end = end_of_interrupted(records)
    if name:
        details = {field: end[field] for field in ("error_code", "script_name", "message", "log")}
        journal.add("event_ended", event=name, status="Failed", noop=False, **details)
    journal.add("finished", **end)
    journal.close()


def end_of_interrupted(records):
    """The fields of `finished` of a journal whose runner died."""
    event = records.open_step("event_started", "event_ended")
    name = event["event"] if event else ""
    script = records.open_step("script_started", "script_ended")
    place = " in " + name if name else ""
    if script:
        place = " while %s ran%s" % (script["script"], place)
    return {
        "outcome": "interrupted",
        "failed_event": name,
        "error_code": FAILED_AFTER_RESTART,
        "script_name": script["script"] if script else "",
        "message": "the runner or the host died%s; what was under way was not run again" % place,
        "log": "",
        "nothing_to_do": False,
    }


def write_lost(host, order):
    """The caller knows that a runner was started, and its journal is not there: it must not run again."""
    journal = Journal(host.journal(order["deployment"]), int(order.get("after") or 0), reserve=host.reserve)
    message = "this deployment was started here, but its journal is gone; what it did is not known"
    ended = {"error_code": FAILED_AFTER_RESTART, "script_name": "", "message": message, "log": "", "failed_event": ""}
    journal.add("finished", key=key_of(order), outcome="interrupted", nothing_to_do=False, **ended)
    journal.close()


def key_of(order):
    return {name: order.get(name) for name in ("deployment", "run", "instance")}


def check_key(records, order):
    """Raises Refused where the journal is of another run, so that no instance reports what another one did."""
    own, found = key_of(order), records.key
    if not records.all or found == own:
        return
    if found and dict(found, instance="") == dict(own, instance=""):
        message = "this host has carried out %s as instance %s: %s and %s are one host"
        names = (own["deployment"], found["instance"], found["instance"], own["instance"])
        raise Refused("JournalOfAnotherRun", message % names, "Take one of the two names out of the group.")
    message = "%s has a journal of another run here (%s)" % (own["deployment"], dumps(found, sort_keys=True))
    raise Refused("JournalOfAnotherRun", message, "Use a new deployment id.")
