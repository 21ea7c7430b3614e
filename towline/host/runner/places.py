"""Where things lie on a host, and what the files of a deployment group say."""

import errno
import os

from towline.host.runner.constants import DEPLOYMENT_ROOT, FULL, KEPT_PLAN, STATE_DIR
from towline.host.runner.errors import Refused, cannot_store, why
from towline.host.runner.files import make_private, read_json, read_pointer
from towline.host.runner.text import absolute, as_text, is_id


class Host:
    """Where things lie on this host. Every path is below the order's `root`, which is empty on a real host."""

    def __init__(self, order):
        self.root = (order.get("root") or "").rstrip("/")
        self.deployments = self.at(order.get("deployment_root") or DEPLOYMENT_ROOT)
        self.state = self.at(order.get("state_dir") or STATE_DIR)
        self.instructions = self.deployments + "/deployment-instructions"
        self.working = self.state + "/working"
        self.reserve = self.state + "/reserve"

    def at(self, path):
        """The place of a path of this host. A relative one counts from `/`; `..` never climbs above the root."""
        return (self.root + absolute(path)).rstrip("/") or "/"

    def make(self):
        """Makes the runner's own directories; raises Refused where it may not."""
        try:
            for path in (self.root, self.deployments, self.instructions):
                if path:
                    os.makedirs(path, 0o755, exist_ok=True)
            if not os.path.isdir(self.state + "/groups"):
                os.makedirs(os.path.dirname(self.state), 0o755, exist_ok=True)
                for name in ("", "/locks", "/journals", "/halt", "/asked", "/kept", "/groups"):
                    make_private(self.state + name)
            owner = os.stat(self.state).st_uid
        except OSError as error:
            if error.errno in (*FULL, errno.EROFS):
                raise cannot_store(error.filename or self.state, error) from None
            place = as_text(error.filename or self.state)
            raise Refused(
                "NotPermitted", "cannot make %s: %s" % (place, why(error)), "Run as root, or give a root."
            ) from None
        if owner != os.geteuid():
            message = "%s belongs to user id %d, the runner is %d" % (as_text(self.state), owner, os.geteuid())
            raise Refused("NotPermitted", message, "Run the runner as the owner of that directory.")

    def lock(self, name):
        return self.state + "/locks/" + name

    def journal(self, deployment):
        return self.state + "/journals/" + deployment + ".jsonl"

    def halt(self, deployment):
        return self.state + "/halt/" + deployment

    def asked(self, deployment):
        return self.state + "/asked/" + deployment

    def deployment(self, group, deployment):
        return "%s/%s/%s" % (self.deployments, group, deployment)

    def script_log(self, group, deployment):
        return self.deployment(group, deployment) + "/logs/scripts.log"


class Group:
    """The files of one deployment group: the agent's clean-up list and pointers, and our own record."""

    def __init__(self, host, group):
        self.host, self.id = host, group
        base = host.instructions + "/" + group
        self.cleanup = base + "-cleanup"
        self.last_install_file = base + "_last_successful_install"
        self.most_recent_file = base + "_most_recent_install"
        self.succeeded_file = host.state + "/groups/" + group + ".json"
        self.record = host.state + "/groups/" + group + ".installed"
        self.times = host.state + "/groups/" + group + ".times"
        self.kept = host.state + "/kept/" + group

    def last_install(self):
        """The directory of the last deployment whose Install ended well, or None."""
        return self._pointed_to(self.last_install_file)

    def most_recent(self):
        """The directory of the last deployment whose archive was unpacked, or None."""
        return self._pointed_to(self.most_recent_file)

    def _pointed_to(self, file):
        """The deployment's directory where it lies now: a pointer is absolute, and a `local` root may be a copy."""
        name = os.path.basename(read_pointer(file) or "")
        return self.host.deployment(self.id, name) if is_id(name) else None

    def installed(self):
        """`{deployment, label, sha256}` of the last install, or None."""
        directory = self.last_install()
        return describe(directory) if directory else None

    def succeeded(self):
        """The same of the last deployment that succeeded. AWS's agent has no such record: its last install counts."""
        record = read_json(self.succeeded_file)
        if record is not None:
            return {key: record.get(key) for key in ("deployment", "label", "sha256")}
        directory = self.last_install()
        kept = read_json(directory + "/" + KEPT_PLAN) if directory else None
        if directory and (kept is None or kept.get("of_aws_agent")):
            return describe(directory)
        return None

    def now(self):
        """What is on the host for this group: `{installed, succeeded}`."""
        return {"installed": self.installed(), "succeeded": self.succeeded()}

    def succeeded_directory(self):
        """The directory of what `succeeded` tells, or None."""
        succeeded = self.succeeded()
        return self.host.deployment(self.id, succeeded["deployment"]) if succeeded else None


def describe(directory):
    """`{deployment, label, sha256}` of a deployment's directory; AWS's agent left no label and no digest."""
    kept = read_json(directory + "/" + KEPT_PLAN) or {}
    revision = kept.get("revision") or {}
    name = os.path.basename(directory)
    return {"deployment": name, "label": revision.get("label") or "", "sha256": revision.get("sha256")}
