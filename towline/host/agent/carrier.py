"""Polls, and carries: one thread asks for news, one sends output, one lets go of runners when no server answers."""

import base64
import os
import platform
import random
import sys
import threading
import time

from towline.host.agent.conversation import Conversation
from towline.host.agent.server import Clock, Failed, Server
from towline.host.agent.settings import AgentError

VERSION = "0"  # put in where the file is joined
HOLD = 45.0
BUSY_HOLD = 10.0  # while runners are connected: their lines are given up after SILENCE
SILENCE = 30.0
READ_AHEAD = 15.0  # that an answer may come later than it is due
BATCH = 0.1
MOST_SENT = 512 * 1024
MOST_WAITING = 2 * 1024 * 1024
LONGEST_PAUSE = 15.0


def say(text):
    sys.stderr.write("towline-agent: %s\n" % text)
    sys.stderr.flush()


class Carrier:
    """Everything that one agent does."""

    def __init__(self, settings):
        self.settings, self.clock = settings, Clock()
        self.session = base64.urlsafe_b64encode(os.urandom(12)).decode()
        self.changed = threading.Condition()
        self.conversations = {}
        self.number = 0
        self.heard = time.monotonic()
        self.said = ""

    def run(self):
        """Never returns."""
        for work in (self._send_output, self._watch):
            threading.Thread(target=work, daemon=True).start()
        server, failures = Server(self.settings, self.clock), 0
        while True:
            try:
                self._poll(server)
            except Failed as error:
                failures += 1
                self._failed(error, failures)
            else:
                failures, self.said = 0, ""

    # ── news ──

    def _poll(self, server):
        with self.changed:
            is_full = any(one.waiting() > MOST_WAITING for one in self.conversations.values())
            hold = 1.0 if is_full else BUSY_HOLD if self.conversations else HOLD
            opened = {one.id: one.got for one in self.conversations.values()}
        self.number += 1
        line = {"v": 1, "session": self.session, "number": self.number, "version": VERSION, "clock": time.time()}
        line.update(hold=hold, hostname=platform.node(), root=self.settings.root, open=opened)
        news, data = server.request("/agent/v1/poll", line, timeout=hold + READ_AHEAD)
        with self.changed:
            self._answered()
            self._take(news, data)
        if is_full:
            time.sleep(BATCH)

    def _take(self, news, data):
        for piece in news.get("pieces", ()):
            part, data = data[: piece["size"]], data[piece["size"] :]
            if piece["id"] in self.conversations:
                self.conversations[piece["id"]].take(piece["at"], part)
        for gone in news.get("gone", ()):
            self._drop(gone)
        for offer in news.get("offers", ()):
            if offer["id"] not in self.conversations:
                self._open(offer)

    def _open(self, offer):
        try:
            found = Conversation(offer["id"], offer["runner"], self.settings, self.changed)
        except OSError as error:
            say("cannot start a runner: %s" % error)  # it is offered again
        else:
            self.conversations[offer["id"]] = found

    def _drop(self, conversation_id):
        found = self.conversations.pop(conversation_id, None)
        if found:
            found.close()

    def _answered(self):
        self.heard = time.monotonic()

    def _has_new_key(self):
        """Whether the key was rotated while this process ran; from now on it signs with the new one."""
        before = self.settings.public
        try:
            self.settings.load()
        except AgentError:
            return False
        return self.settings.public != before

    def _failed(self, error, failures):
        if error.code == "AgentUnknown" and self._has_new_key():
            return
        if str(error) != self.said:
            self.said = str(error)
            say(error)
        longest = 2.0 if self.conversations and not error.code else LONGEST_PAUSE
        if failures > 1 or error.code:
            time.sleep(random.uniform(0.2, min(longest, 2.0**failures)))

    # ── output ──

    def _send_output(self):
        server, failures = Server(self.settings, self.clock), 0
        while True:
            with self.changed:
                while not any(one.has_output() for one in self.conversations.values()):
                    self.changed.wait()
            started = time.monotonic()
            try:
                self._send(server)
                failures = 0
            except Failed as error:
                failures += 1
                if error.code:
                    say("output was refused: %s" % error)
                time.sleep(random.uniform(0.1, min(2.0, 0.2 * 2**failures)))
            time.sleep(max(0.0, started + BATCH - time.monotonic()))

    def _send(self, server):
        pieces, ends, data = [], [], b""
        with self.changed:
            for one in self.conversations.values():
                part = bytes(one.outgoing[: MOST_SENT - len(data)]) if one.has_output() else b""
                if part:
                    pieces.append({"id": one.id, "at": one.acknowledged, "size": len(part)})
                    data += part
                end = one.end()
                if end and one.has_output():
                    ends.append(end)
        line = {"session": self.session, "pieces": pieces, "ends": ends}
        answer, _ = server.request("/agent/v1/output", line, data)
        with self.changed:
            self._answered()
            for gone in answer.get("gone", ()):
                self._drop(gone)
            for conversation_id, upto in answer.get("taken", {}).items():
                if conversation_id in self.conversations:
                    self.conversations[conversation_id].taken(upto)
            for end in ends:
                one = self.conversations.get(end["id"])
                if one:
                    one.is_told = True

    # ── silence ──

    def _watch(self):
        """Closes the runners' input where no server answers: a runner halts by itself that nobody asks for long."""
        while True:
            time.sleep(1.0)
            with self.changed:
                if self.conversations and time.monotonic() - self.heard > SILENCE:
                    say("no server has answered for %d s: runners go on by themselves" % SILENCE)
                    for conversation_id in list(self.conversations):
                        self._drop(conversation_id)
