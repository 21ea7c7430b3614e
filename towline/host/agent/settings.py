"""What the agent keeps on the host: its key and where it polls, readable by its own user alone."""

import base64
import fcntl
import hashlib
import json
import os

from towline.host.agent.ed25519 import public_key

STATE_DIR = "/var/lib/towline"


class AgentError(Exception):
    """What ends the agent; the message is for people."""


class Settings:
    """The folder of one agent; `root` is a prefix of every path, empty on a real host."""

    def __init__(self, root=""):
        self.root = root and os.path.abspath(root)
        self.state = self.root + STATE_DIR
        self.folder = self.state + "/agent"
        self.name = self.endpoint = self.secret = self.public = None

    def make(self):
        for path in (self.state, self.folder):
            os.makedirs(path, mode=0o700, exist_ok=True)

    @property
    def ca(self):
        """The certificate that the server's must come from; None: the system's authorities."""
        path = self.folder + "/ca.pem"
        return path if os.path.exists(path) else None

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        fresh = "%s.%d" % (path, os.getpid())
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)

    def read(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return file.read()

    def load(self):
        """Reads name, endpoint and key. Raises AgentError where the agent was not enrolled."""
        try:
            config = json.loads(self.read("config.json"))
            self.name, self.endpoint = config["name"], config["endpoint"]
            self.use_key(base64.b64decode(self.read("key")))
        except (OSError, ValueError, KeyError) as error:
            raise AgentError("this host is not enrolled (%s); run: towline-agent enroll" % error) from None
        return self

    def take_next_key(self):
        os.rename(self.folder + "/key.new", self.folder + "/key")

    def use_key(self, secret):
        self.secret, self.public = secret, public_key(secret)

    @property
    def key_id(self):
        return hashlib.sha256(self.public).hexdigest()[:16]

    def lock(self):
        """Holds the folder: a second agent would poll by the same name. Raises AgentError."""
        held = os.open(self.folder + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AgentError("another towline-agent runs here, with %s" % self.folder) from None
        return held
