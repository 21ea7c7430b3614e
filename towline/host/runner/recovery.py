"""Ends what a runner that died has left, and reports it as interrupted."""

import os
import time

from towline.host.runner.constants import FAILED_AFTER_RESTART, MAY_BE_IGNORED, RESUMPTIONS, TERM_TO_KILL
from towline.host.runner.errors import Refused
from towline.host.runner.files import read_bytes, remove
from towline.host.runner.journal import Journal, Records
from towline.host.runner.json_binding import dumps
from towline.host.runner.processes import alive, boot_id, family, kill_all, process, send_signal
from towline.host.runner.quick_signal import signal
from towline.host.runner.text import is_id


def recover(host, own, order):
    """Ends what a runner that died has left; called first by each that has just taken the host lock.

    The journal of `own`, the deployment of `order`, is looked at in any case: one that lost its end would else be
    followed for ever. It stays open where the deployment goes on (see `may_go_on`).
    """
    named = (read_bytes(host.working) or b"").decode("utf-8", "replace").strip()
    for deployment in filter(is_id, (named, own)):
        records = Records(host.journal(deployment))
        if records.all and not records.finished:
            end_open_script(records, host)
            if deployment == own and may_go_on(records, order):
                write_failed_event(host, deployment, records)
            else:
                write_interrupted(host, deployment, records)
    remove(host.working)


def end_open_script(records, host):
    """The processes of a script that has no end in the journal: TERM, then KILL; checked by boot, start time, root."""
    script = records.open_step("script_started", "script_ended")
    started = next((record for record in reversed(records.all) if record.get("kind") in ("started", "resumed")), {})
    if not script or started.get("boot_id") != boot_id():
        return
    leader = process(script["pid"])
    if leader and leader[2] != script["start_time"]:
        return  # another process has that number now
    if leader and not is_of_root(host, script["pid"]):
        return
    members = family(script["pid"])
    if not leader:
        # without its leader a session is known by its number only: the environment tells whose it is
        mark = ("DEPLOYMENT_ID=" + (records.key or {}).get("deployment", "")).encode()
        members = {
            pid: start for pid, start in members.items() if mark in environment_of(pid) and is_of_root(host, pid)
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


def environment_of(pid):
    """The environment with which a process was started, as NAME=VALUE in bytes."""
    return (read_bytes("/proc/%d/environ" % pid) or b"").split(b"\0")


def is_of_root(host, pid):
    """Whether a script was started below this root: it may be the copy of a `local` root in which the script runs."""
    name = b"TOWLINE_ROOT="
    roots = [value[len(name) :] for value in environment_of(pid) if value.startswith(name)]
    return not roots or roots[0] == os.fsencode(host.root) or not os.path.isdir(roots[0])


def may_go_on(records, order):
    """Whether the deployment of a dead runner goes on behind the event in which that died.

    A runner that dies in ApplicationStop, whose script may be what ended it, is a failed ApplicationStop: an undo goes
    on, and so does a deployment that ignores such failures. Nothing is run twice: what has begun counts as ended.
    """
    if order["do"] != "undo" and not order.get("ignore_application_stop_failures"):
        return False
    begun = [record.get("event") for record in records.all if record.get("kind") == "event_started"]
    resumed = [record for record in records.all if record.get("kind") == "resumed"]
    return all(event in MAY_BE_IGNORED for event in begun) and len(resumed) < RESUMPTIONS


def continued_journal(host, deployment, records, poke=None):
    """The journal of a dead runner, open for more: numbers and times go on."""
    last = records.all[-1]
    base = time.monotonic() - (last.get("offset") or 0)
    return Journal(host.journal(deployment), last.get("seq", 0), base, poke=poke, reserve=host.reserve)


def write_failed_event(host, deployment, records):
    """Ends the event in which a runner died, as failed; the deployment goes on."""
    journal = continued_journal(host, deployment, records)
    add_failed_event(journal, end_of_interrupted(records, goes_on=True))
    journal.close()


def add_failed_event(journal, end):
    if end["failed_event"]:
        details = {field: end[field] for field in ("error_code", "script_name", "message", "log")}
        journal.add("event_ended", event=end["failed_event"], status="Failed", noop=False, **details)


def write_interrupted(host, deployment, records, besides=""):
    """Ends a journal whose runner died: nothing of it is run again, and nothing of it counts as done.

    `besides` says why it does not go on where it might have.
    """
    end = end_of_interrupted(records)
    end["message"] += "; it cannot go on: " + besides if besides else ""
    journal = continued_journal(host, deployment, records)
    add_failed_event(journal, end)
    journal.add("finished", **end)
    journal.close()


def end_of_interrupted(records, goes_on=False):
    """The fields of `finished` of a journal whose runner died."""
    event = records.open_step("event_started", "event_ended")
    name = event["event"] if event else ""
    script = records.open_step("script_started", "script_ended")
    place = " in " + name if name else ""
    if script:
        place = " while %s ran%s" % (script["script"], place)
    then = "what was under way was not run again"
    if goes_on:
        then = "%s counts as failed, and the deployment goes on" % name
    elif name in MAY_BE_IGNORED:
        then += "; if the script ended the runner, deploy with --ignore-application-stop-failures"
    return {
        "outcome": "interrupted",
        "failed_event": name,
        "error_code": FAILED_AFTER_RESTART,
        "script_name": script["script"] if script else "",
        "message": "the runner or the host died%s; %s" % (place, then),
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
