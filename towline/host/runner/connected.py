"""The connected end: takes the locks, gets the archive, starts the runner, reports what the journal says."""

import os
import select
import time

from towline.host.runner.answers import ask_to_halt
from towline.host.runner.check import aws_agent
from towline.host.runner.constants import ARCHIVE, BETWEEN_MESSAGES, BUNDLE, FULL
from towline.host.runner.detached import start_detached
from towline.host.runner.errors import Refused, cannot_store, why
from towline.host.runner.files import read_bytes, remove, remove_tree, touch
from towline.host.runner.follower import Follower
from towline.host.runner.journal import Records, keep_reserve
from towline.host.runner.locks import Lock, take
from towline.host.runner.places import Group
from towline.host.runner.preparation import Preparation
from towline.host.runner.recovery import check_key, recover, write_lost
from towline.host.runner.text import as_text


class ConnectedEnd:
    """Takes the locks, gets the archive, starts the runner, and tells the caller what the journal says."""

    def __init__(self, order, host, wire):
        self.order, self.host, self.wire = order, host, wire
        self.id = order["deployment"]
        self.limits = order.get("limits") or {}
        self.told = False  # whether the caller knows that it is attached
        self.follower = Follower(order, host, wire)

    def run(self):
        """Until the journal is finished, or the caller has gone."""
        try:
            touch(self.host.asked(self.id))
            Lock(self.host.lock("deployment-" + self.id)).close()
        except OSError as error:
            raise cannot_store(error.filename or self.host.state, error) from None
        ended = False
        while not ended:
            lock = take(self.host.lock("deployment-" + self.id))
            if lock is None:
                ended = self._attach()
                continue
            try:
                ended = self._own(lock)
            except Refused:
                remove(self.host.asked(self.id))
                raise
            finally:
                lock.close()
        remove(self.host.asked(self.id))

    def _attach(self):
        """Somebody works or waits for this deployment: follows until it is finished (True) or nobody is (False)."""
        self._tell_attached()
        while True:
            if self.follower.step():
                return True
            lock = take(self.host.lock("deployment-" + self.id))
            if lock:
                lock.close()
                return self.follower.step()
            self._listen(0.05)

    def _tell_attached(self):
        if not self.told:
            self.told = True
            self.wire.send({"kind": "attached"})

    def _own(self, lock):
        """We have the deployment's lock. True once the journal is finished."""
        records = Records(self.host.journal(self.id))
        check_key(records, self.order)
        if not records.finished:
            host_lock = self._host_lock(bool(records.all))
            try:
                recover(self.host, self.id)
                records.read_more()
                if not records.all and not self.order.get("started"):
                    return self._begin(lock, host_lock)
                if not records.all:
                    write_lost(self.host, self.order)
            finally:
                host_lock.close()
        self._tell_attached()
        return self.follower.step()

    def _host_lock(self, began):
        """The right to work, as soon as it is ours; the caller hears whom it waits for."""
        lock = Lock(self.host.lock("host"))
        ends = time.monotonic() + (self.limits.get("lock_wait") or 0)
        said = 0.0
        while not lock.try_take():
            now = time.monotonic()
            if now >= ends:
                holder = self._holder()
                lock.close()
                raise Refused("HostBusy", "another deployment%s works on this host" % (holder and " (%s)" % holder))
            if now - said >= 2:
                said = now
                self.wire.send({"kind": "waiting", "holder": self._holder()})
            self._listen(min(0.05, ends - now))
            if not began and os.path.exists(self.host.halt(self.id)):
                lock.close()
                remove(self.host.halt(self.id))
                raise Refused("Stopped", "halted on request while it waited for the host, before anything was begun")
        return lock

    def _holder(self):
        return as_text((read_bytes(self.host.working) or b"").strip())

    def _listen(self, seconds, *others):
        """Waits a little, hears requests to halt, shows that somebody asks."""
        self.follower.show_interest()
        if self.wire.source in self.wire.wait(seconds, *others):
            word = (self.wire.line(5) or {}).get("halt")
            if word:
                ask_to_halt(self.host, self.id, word)

    def _begin(self, lock, host_lock):
        """Nothing has been done yet: checks, gets what is missing, starts the runner and follows it."""
        if not self.order.get("allow_aws_agent") and not self.host.root and aws_agent():
            hint = "Stop it (systemctl disable --now codedeploy-agent), or allow it for this host."
            raise Refused("AwsAgentRuns", "AWS's CodeDeploy agent runs on this host (process %d)" % aws_agent(), hint)
        self._prepare()
        self._listen(0)  # a stop may have come behind the archive
        if os.path.exists(self.host.halt(self.id)):
            remove(self.host.halt(self.id))
            raise Refused("Stopped", "halted on request, before anything was begun")
        try:
            reader = start_detached(self.order, self.host, lock, host_lock)
        except OSError as error:
            hint = "The host has no room for one more process: see ulimit -u, pids.max and free memory there."
            raise Refused("CannotStart", "the runner cannot be started: %s" % why(error), hint) from None
        try:
            while not self.follower.step():
                self.wire.rest(BETWEEN_MESSAGES, reader)
                self._listen(1.0, reader)
                if select.select([reader], [], [], 0)[0] and not os.read(reader, 4096):
                    return self.follower.step()
            # the runner tidies up after its last record: whoever comes next finds the host free
            while select.select([reader], [], [], 1.0)[0] and os.read(reader, 4096):
                pass
            return True
        finally:
            os.close(reader)

    def _prepare(self):
        """Raises Refused with nothing begun. An undo on a full disk takes the room of what it undoes."""
        try:
            try:
                self._prepare_once()
            except OSError as error:
                if error.errno not in FULL or not self._make_room():
                    raise
                self._prepare_once()
        except OSError as error:
            raise cannot_store(error.filename or self.host.state, error) from None

    def _prepare_once(self):
        keep_reserve(self.host.reserve)
        Preparation(self.order, self.host, self.wire).run()

    def _make_room(self):
        if self.order["do"] != "undo":
            return False
        group = Group(self.host, self.order["group"]["id"])
        undone = self.host.deployment(group.id, self.order["undo"])
        if undone in (group.last_install(), group.succeeded_directory()):
            return False  # its scripts are needed
        remove(undone + "/" + BUNDLE)
        remove_tree(undone + "/" + ARCHIVE)
        return True
