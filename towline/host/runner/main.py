"""Takes one order on standard input and does what it says."""

import os
import sys

from towline.host.runner.answers import ANSWERS
from towline.host.runner.connected import ConnectedEnd
from towline.host.runner.constants import REPLY_SECONDS, VERSION
from towline.host.runner.errors import Disconnected, Refused
from towline.host.runner.places import Host
from towline.host.runner.process_name import take_own_name
from towline.host.runner.quick_signal import signal
from towline.host.runner.text import as_name, as_text, is_id
from towline.host.runner.tracebacks import traceback_text
from towline.host.runner.wire import Wire


def check_order(order):
    """Raises Refused where an order cannot be one."""
    if order.get("v") != VERSION:
        raise Refused("InvalidOrder", "this runner understands version %d, not %r" % (VERSION, order.get("v")))
    do = order.get("do")
    if do not in ANSWERS and do not in ("deploy", "undo"):
        raise Refused("InvalidOrder", "do %r is not known" % do)
    root = order.get("root") or ""
    if root and not root.startswith("/"):
        raise Refused("InvalidOrder", "root %r is not absolute" % root)
    if do in ("inventory", "check"):
        return
    if not is_id(order.get("deployment")) or len(order["deployment"]) > 64:
        raise Refused("InvalidOrder", "deployment %r cannot be a name of files" % order.get("deployment"))
    if do == "halt":
        return
    if not is_id((order.get("group") or {}).get("id")):
        raise Refused("InvalidOrder", "group.id %r cannot be a name of files" % (order.get("group") or {}).get("id"))
    check_work(order, do)


def check_work(order, do):
    if (do == "undo" or order.get("undo")) and not is_id(order.get("undo")):
        raise Refused("InvalidOrder", "undo %r is no deployment id" % order.get("undo"))
    if do == "deploy":
        revision = order.get("revision") or {}
        if not isinstance(order.get("plan"), dict) or not revision.get("sha256"):
            raise Refused("InvalidOrder", "a deploy needs plan and revision.sha256")
        if revision.get("bundle_type") not in ("tar", "tgz", "zip"):
            raise Refused(
                "InvalidOrder", "revision.bundle_type %r is none of tar, tgz, zip" % revision.get("bundle_type")
            )
    if do in ("deploy", "undo"):
        group = order["group"]
        if not isinstance(order.get("events"), list):
            raise Refused("InvalidOrder", "events is not a list")
        if not isinstance(group.get("name"), str) or not isinstance(group.get("application"), str):
            raise Refused("InvalidOrder", "group.name and group.application are needed")


def serve(wire):
    """Takes one order and does what it says."""
    os.umask(0o022)  # scripts of other users must be able to reach their archive
    order = wire.line(REPLY_SECONDS)
    if order is None:
        raise Refused("InvalidOrder", "no order came")
    check_order(order)
    order = as_name(order)
    host = Host(order)
    if order["do"] in ANSWERS:
        if order["do"] == "halt":
            host.make()
        wire.send(ANSWERS[order["do"]](host, order))
        return
    host.make()
    ConnectedEnd(order, host, wire).run()


def main():
    """Never returns. The exit status is 0 unless the runner itself is broken: what happened is told by events."""
    take_own_name()
    # sudo, through which we may have come, still has our arguments, and passes on what a pattern there has met
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wire = Wire()
    try:
        serve(wire)
    except Refused as refused:
        try:
            told = {"code": refused.code, "message": as_text(refused.message), "hint": as_text(refused.hint)}
            wire.send(dict(told, kind="refused"))
        except Disconnected:
            pass
    except Disconnected:
        pass
    except Exception:
        sys.stderr.write(traceback_text())
        os._exit(1)
    os._exit(0)  # nothing is left to be flushed or closed, and taking an interpreter down takes as long as two hooks


if __name__ == "__main__":
    main()
