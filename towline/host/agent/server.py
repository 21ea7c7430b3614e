"""Requests to the API server: signed, over connections that are kept open."""

import base64
import hashlib
import http.client
import json
import os
import ssl
import time
import urllib.parse

from towline.host.agent.ed25519 import sign
from towline.host.agent.settings import AgentError

ANSWER_BYTES = 4 * 1024 * 1024
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Failed(Exception):
    """A request without an answer of use. `code` is the server's, empty where none answered."""

    def __init__(self, message, code=""):
        Exception.__init__(self, message)
        self.code = code


class Server:
    """One connection to the API server. Each thread has its own."""

    def __init__(self, settings, clock):
        self.settings, self.clock = settings, clock
        self.url = urllib.parse.urlsplit(settings.endpoint)
        if self.url.scheme != "https" and self.url.hostname not in LOOPBACK:
            raise AgentError("%s: an endpoint begins with https://" % settings.endpoint)
        self.connection = None

    def request(self, path, line, data=b"", timeout=30):
        """The answer's line and bytes. Raises Failed."""
        body = json.dumps(line).encode() + b"\n" + data
        try:
            return self._request(path, body, timeout)
        except Failed as error:
            if error.code != "ClockSkew":
                raise
        return self._request(path, body, timeout)  # by the server's clock, which came with the refusal

    def _request(self, path, body, timeout):
        try:
            status, answer = self._exchange(path, body, timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Failed("%s does not answer: %s" % (self.settings.endpoint, error or type(error).__name__)) from None
        line, _, data = answer.partition(b"\n")
        try:
            value = json.loads(line.decode())
            self.clock.server_says(float(value["time"]))
        except (ValueError, KeyError, TypeError):
            raise Failed("%s answers %d, and not as towline does" % (self.settings.endpoint, status)) from None
        if status != 200:
            told = "%s %s" % (value.get("message", ""), value.get("hint", ""))
            raise Failed(told.strip(), str(value.get("error", status)))
        return value, data

    def _exchange(self, path, body, timeout):
        headers = self._signature(path, body)
        is_kept = self.connection is not None
        if not is_kept:
            self.connection = self._connect()
        try:
            return self._send(path, body, headers, timeout)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not is_kept:
                raise
        # The server had closed the connection, idle until now. What came twice all the same is known by its offsets.
        self.close()
        self.connection = self._connect()
        return self._send(path, body, self._signature(path, body), timeout)

    def _send(self, path, body, headers, timeout):
        self.connection.timeout = timeout
        if self.connection.sock:
            self.connection.sock.settimeout(timeout)
        self.connection.request("POST", self.url.path.rstrip("/") + path, body, headers)
        response = self.connection.getresponse()
        answer = response.read(ANSWER_BYTES)
        return response.status, answer

    def _signature(self, path, body):
        settings = self.settings
        if settings.secret is None:
            return {}
        nonce = base64.urlsafe_b64encode(os.urandom(18)).decode()
        now = "%d" % self.clock.now()
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join(("towline-agent-v1", "POST", path, settings.name, now, nonce, digest))
        signature = sign(settings.secret, settings.public, text.encode())
        values = {"name": settings.name, "key": settings.key_id, "time": now, "nonce": nonce}
        values["signature"] = base64.b64encode(signature).decode()
        return {"x-towline-" + name: value for name, value in values.items()}

    def _connect(self):
        host, port = self.url.hostname, self.url.port
        if self.url.scheme != "https":
            return http.client.HTTPConnection(host, port)
        context = ssl.create_default_context(cafile=self.settings.ca)
        proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
        if not proxy:
            return http.client.HTTPSConnection(host, port, context=context)
        through = urllib.parse.urlsplit(proxy if "//" in proxy else "//" + proxy)
        connection = http.client.HTTPSConnection(through.hostname, through.port, context=context)
        connection.set_tunnel(host, port or 443)
        return connection

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Clock:
    """The host's clock, put right by the server's where a request was refused for it."""

    def __init__(self):
        self.offset = 0.0

    def now(self):
        return time.time() + self.offset

    def server_says(self, there):
        if abs(there - self.now()) > 30:
            self.offset = there - time.time()
