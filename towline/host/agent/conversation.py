"""A conversation: the runner's connected end as a child, whose input and output are carried."""

import os
import subprocess
import sys
import threading

from towline.host.agent.settings import STATE_DIR

BOOTSTRAP = ""  # put in where the file is joined: towline/host/bootstrap.py has it
KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "SHELL", "TMPDIR", "TZ")
PIECE = 64 * 1024
WINDOW = 4 * 1024 * 1024
STDERR = 4096


class Conversation:
    """One runner. `got` bytes have come for it, `acknowledged` bytes of its output are the server's."""

    def __init__(self, conversation_id, runner, settings, changed):
        self.id, self.changed = conversation_id, changed  # a Condition that all conversations share
        self.got = self.acknowledged = 0
        self.incoming, self.outgoing = [], bytearray()
        self.is_closing = self.is_told = False
        self.stderr, self.status, self.readers = b"", None, 2
        self.child = self._start(runner, settings)
        for work in (self._feed, self._read_stdout, self._read_stderr):
            threading.Thread(target=work, daemon=True).start()

    def _start(self, runner, settings):
        """The connected end, as over SSH; it begins nothing before its order comes."""
        source = BOOTSTRAP.replace('"%s"' % STATE_DIR, repr(settings.state))
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", source, runner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            cwd="/",
            start_new_session=True,
        )

    # ── from the server ──

    def take(self, at, data):
        """Bytes for the runner; what came before is left out. Holding `changed`."""
        if at <= self.got < at + len(data):
            fresh = data[self.got - at :]
            self.incoming.append(fresh)
            self.got += len(fresh)
            self.changed.notify_all()

    def waiting(self):
        """Bytes that the runner has not taken yet."""
        return sum(map(len, self.incoming))

    def close(self):
        """Closes the runner's standard input, at which the connected end leaves. Holding `changed`."""
        self.is_closing = True
        self.changed.notify_all()

    def _feed(self):
        pipe = self.child.stdin
        try:
            while True:
                with self.changed:
                    while not self.incoming and not self.is_closing:
                        self.changed.wait()
                    if self.is_closing:
                        break
                    data = self.incoming[0]
                write_fully(pipe, data)
                with self.changed:
                    del self.incoming[0]
        except OSError:
            pass  # it has ended; its output says why
        try:
            pipe.close()
        except OSError:
            pass

    # ── to the server ──

    def _read_stdout(self):
        while True:
            with self.changed:
                while len(self.outgoing) > WINDOW and not self.is_closing:
                    self.changed.wait()
            data = self.child.stdout.read(PIECE)
            if not data:
                break
            with self.changed:
                if not self.is_closing:
                    self.outgoing += data
                self.changed.notify_all()
        self._one_is_read()

    def _read_stderr(self):
        while True:
            data = self.child.stderr.read(STDERR)
            if not data:
                break
            self.stderr = (self.stderr + data)[-STDERR:]
        self._one_is_read()

    def _one_is_read(self):
        with self.changed:
            self.readers -= 1
            is_last = not self.readers
        if is_last:
            status = self.child.wait()
            with self.changed:
                self.status = status
                self.changed.notify_all()

    def has_output(self):
        """Whether there is something to be sent. Holding `changed`."""
        return not self.is_closing and (self.outgoing or (self.status is not None and not self.is_told))

    def end(self):
        """How it ended, once all of its output is sent or being sent; None before."""
        if self.status is None:
            return None
        total = self.acknowledged + len(self.outgoing)
        status = self.status if self.status >= 0 else None
        return {"id": self.id, "at": total, "status": status, "stderr": self.stderr.decode(errors="replace")}

    def taken(self, upto):
        """The server has taken output up to this offset. Holding `changed`."""
        del self.outgoing[: max(0, upto - self.acknowledged)]
        self.acknowledged = max(self.acknowledged, upto)
        self.changed.notify_all()


def write_fully(pipe, data):
    rest = memoryview(data)
    while rest:
        rest = rest[pipe.write(rest) :]
