"""The connected end: takes the locks, gets the archive, starts the runner, reports what the journal says."""

import os
import sys
import time

from towline.host.runner.answers import ask_to_halt
from towline.host.runner.check import aws_agent
from towline.host.runner.constants import BETWEEN_MESSAGES, BETWEEN_STARTS, FULL, STARTS, VERSION
from towline.host.runner.detached import start_detached
from towline.host.runner.errors import Disconnected, Refused, cannot_store, why
from towline.host.runner.files import discard, read_bytes, remove, touch
from towline.host.runner.follower import Follower
from towline.host.runner.journal import Records, keep_reserve, with_room
from towline.host.runner.limits import in_seconds
from towline.host.runner.locks import Lock, take
from towline.host.runner.preparation import Preparation
from towline.host.runner.recovery import check_key, end_of_interrupted, recover, write_interrupted, write_lost
from towline.host.runner.text import as_text
from towline.host.runner.undo import make_room


class ConnectedEnd:
    """Takes the locks, gets the archive, starts the runner, and tells the caller what the journal says."""

    def __init__(self, order, host, wire):
        self.order, self.host, self.wire = order, host, wire
        self.id = order["deployment"]
        self.limits = order.get("limits") or {}
        self.told = False  # whether the caller knows that it is attached
        self.failed_starts = 0  # of runners that ended before their first record
        self.follower = Follower(order, host, wire)

    def run(self):
        """Until the journal is finished, or the caller has gone."""
        try:
            with_room(self.host.reserve, touch, self.host.asked(self.id))
            with_room(self.host.reserve, Lock, self.host.lock("deployment-" + self.id)).close()
            while not self._round():
                pass
        except OSError as error:
            if self.follower.records.all:
                raise  # work has begun, so this is no refusal: whoever comes next sees further
            raise cannot_store(error.filename or self.host.state, error) from None
        discard(self.host.asked(self.id))

    def _round(self):
        """Attaches, or takes the deployment on. Whether its journal is finished."""
        lock = take(self.host.lock("deployment-" + self.id))
        if lock is None:
            return self._attach()
        try:
            return self._own(lock)
        except Refused:
            discard(self.host.asked(self.id))
            raise
        finally:
            lock.close()

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
                if not self._recover(records):
                    return True
                records.read_more()
                if not records.all and not self.order.get("started"):
                    return self._begin(lock, host_lock)
                if records.all and not records.finished:
                    return self._go_on(lock, host_lock, records)
                if not records.all:
                    write_lost(self.host, self.order)
            finally:
                host_lock.close()
        self._tell_attached()
        return self.follower.step()

    def _recover(self, records):
        """Ends what dead runners have left. False where the end of our own journal could only be told, not written."""
        try:
            recover(self.host, self.id, self.order)
        except OSError as error:
            if not records.all:
                raise
            last, end = records.all[-1], end_of_interrupted(records)
            end["message"] += "; this end is not in the journal, which cannot be written: " + why(error)
            place = {
                "v": VERSION,
                "seq": last.get("seq", 0) + 1,
                "time": time.time(),
                "offset": last.get("offset") or 0,
            }
            self._tell_attached()
            self.follower.step()
            self.wire.send(dict(end, kind="finished", **place))
            return False
        return True

    def _host_lock(self, began):
        """The right to work, as soon as it is ours; the caller hears whom it waits for."""
        lock = Lock(self.host.lock("host"))
        ends = time.monotonic() + in_seconds(self.limits.get("lock_wait"), 0)
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
                self._halt(word)

    def _halt(self, word):
        try:
            ask_to_halt(self.host, self.id, word)
        except Refused as refused:
            if not self.follower.records.all:
                raise
            sys.stderr.write(refused.message + "\n")  # to refuse would say that nothing has begun
            raise Disconnected() from None

    def _begin(self, lock, host_lock):
        """Nothing has been done yet: checks, gets what is missing, starts the runner and follows it."""
        if not self.order.get("allow_aws_agent") and not self.host.root and aws_agent():
            hint = "Stop it (systemctl disable --now codedeploy-agent), or allow it for this host."
            raise Refused("AwsAgentRuns", "AWS's CodeDeploy agent runs on this host (process %d)" % aws_agent(), hint)
        self._prepare()
        return self._start(lock, host_lock)

    def _go_on(self, lock, host_lock, records):
        """A runner died in an event whose failure does not count: the next one goes on behind that."""
        self._tell_attached()
        self.follower.step()
        try:
            self._prepare()
            return self._start(lock, host_lock)
        except (Refused, OSError) as error:
            reason = error.message if isinstance(error, Refused) else why(error)
            write_interrupted(self.host, self.id, records, reason)
            return self.follower.step()

    def _start(self, lock, host_lock):
        """Everything is there: starts the runner and follows it."""
        self._listen(0)  # a stop may have come behind the archive
        if os.path.exists(self.host.halt(self.id)):
            remove(self.host.halt(self.id))
            raise Refused("Stopped", "halted on request, before anything was begun")
        try:
            runner = start_detached(self.order, self.host, lock, host_lock)
        except OSError as error:
            if error.filename or error.errno in FULL:
                raise
            hint = "The host has no room for one more process: see ulimit -u, pids.max and free memory there."
            raise Refused("CannotStart", "the runner cannot be started: %s" % why(error), hint) from None
        try:
            while not self.follower.step():
                self.wire.rest(BETWEEN_MESSAGES, runner.reader)
                self._listen(1.0, runner.reader)
                if runner.has_ended():
                    return self.follower.step() or self._after_death(runner)
            # the runner tidies up after its last record: whoever comes next finds the host free
            if runner.has_ended(1.0):
                runner.reap()
            return True
        finally:
            runner.close()

    def _after_death(self, runner):
        """The runner ended, and its journal did not: False where the next round is to go on.

        A runner that has begun nothing is started again, a few times. Raises Refused where it said why it could not
        begin, or never gets further.
        """
        how = runner.reap()
        if self.follower.records.all:
            return False
        refusal = runner.refusal()
        if refusal:
            raise Refused(refusal["code"], refusal["message"], refusal["hint"])
        self.failed_starts += 1
        if self.failed_starts >= STARTS:
            message = "the runner ended before its first step, %d times, the last one %s"
            hint = "See what ends processes on the host: dmesg (out of memory), ulimit -a, audit logs."
            raise Refused("CannotStart", message % (self.failed_starts, how), hint)
        self._listen(BETWEEN_STARTS * self.failed_starts)
        return False

    def _prepare(self):
        """Raises Refused with nothing begun. An undo on a full disk takes the room of what it undoes."""
        try:
            try:
                self._prepare_once()
            except OSError as error:
                if error.errno not in FULL or self.order["do"] != "undo" or not make_room(self.host, self.order):
                    raise
                self._prepare_once()
        except OSError as error:
            raise cannot_store(error.filename or self.host.state, error) from None

    def _prepare_once(self):
        keep_reserve(self.host.reserve)
        Preparation(self.order, self.host, self.wire).run()
