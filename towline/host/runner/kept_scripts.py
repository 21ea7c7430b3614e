"""Scripts of the last revision that root is to run: AWS's agent, or an older runner, has unpacked them as they came."""

from towline.host.runner.constants import ARCHIVE, KEPT_PLAN, OF_LAST_INSTALL
from towline.host.runner.files import read_json
from towline.host.runner.places import Group
from towline.host.runner.text import as_text, join
from towline.host.runner.untouched import others_could_change


def is_roots(script):
    """Whether a script runs as root: what its own user could have changed it could have done anyway."""
    return str(script.get("runas") or "root") in ("root", "0")


def why_not_trusted(host, archive, scripts):
    """Why scripts of a kept archive must not run as root, with what mends it; empty where they may."""
    for script in filter(is_roots, scripts):
        reason = others_could_change(host.deployments, join(archive, script["location"]))
        if reason:
            return (
                "%s would run as root, and others than root could have changed it: %s. See that it is what was "
                "deployed, then: chown -R root:root %s && chmod -R go-w %s"
                % (as_text(script["location"]), reason, as_text(archive), as_text(archive))
            )
    return ""


def last_revision_problem(host, order):
    """Why the events that run scripts of the last revision would fail here, or empty: found before the first event."""
    directory = Group(host, order["group"]["id"]).last_install()
    if not directory or order.get("ignore_application_stop_failures"):
        return ""
    hooks = ((read_json(directory + "/" + KEPT_PLAN) or {}).get("plan") or {}).get("hooks") or {}
    events = [event for event in order.get("events") or () if event in OF_LAST_INSTALL]
    scripts = [script for event in events for script in hooks.get(event) or ()]
    problem = why_not_trusted(host, directory + "/" + ARCHIVE, scripts)
    return problem and problem + ", or deploy with --ignore-application-stop-failures"


def all_scripts(plan):
    return [script for scripts in (plan.get("hooks") or {}).values() for script in scripts]
