"""The commands of the agent: enroll, run, rotate."""

import argparse
import base64
import json
import os
import sys
import time

from towline.host.agent.carrier import VERSION, Carrier, say
from towline.host.agent.ed25519 import public_key
from towline.host.agent.server import Clock, Failed, Server
from towline.host.agent.settings import AgentError, Settings

SETTLE_TRIES = 5


def enroll(settings, options):
    """Makes the host's key, and trades the invitation for it. The key never leaves the host."""
    token = os.environ.get("TOWLINE_TOKEN") or sys.stdin.readline().strip()
    settings.make()
    held = settings.lock()
    settings.name, settings.endpoint = options.name, options.endpoint.rstrip("/")
    if options.ca:
        with open(options.ca) as file:
            settings.write("ca.pem", file.read())
    settings.use_key(next_secret(settings))
    public = base64.b64encode(settings.public).decode()
    settings.secret = None  # nothing is signed yet
    given = {"name": options.name, "token": token, "public_key": public}
    Server(settings, Clock()).request("/agent/v1/enroll", given)
    settings.write("config.json", json.dumps({"name": settings.name, "endpoint": settings.endpoint}))
    settings.take_next_key()
    os.close(held)
    say("%s is enrolled at %s" % (settings.name, settings.endpoint))


def next_secret(settings):
    """A new secret, kept beside the one in use; that of an earlier try, whose answer was lost, where there is one."""
    try:
        return base64.b64decode(settings.read("key.new"))
    except OSError:
        secret = os.urandom(32)
        settings.write("key.new", base64.b64encode(secret).decode())
        return secret


def rotate(settings, options):
    """Takes a new key. Both are good until the new one is there; an agent that runs goes on with it by itself."""
    settings.load()
    server, secret = Server(settings, Clock()), next_secret(settings)
    server.request("/agent/v1/rotate", {"public_key": base64.b64encode(public_key(secret)).decode()})
    settings.take_next_key()
    settings.use_key(secret)
    for tries_left in reversed(range(SETTLE_TRIES)):
        try:
            server.request("/agent/v1/settle", {})
            break
        except Failed:
            if not tries_left:
                raise
            time.sleep(1.1)  # another API server reads the keys again at most once a second
    say("%s signs with the key %s; the one before is not good any more" % (settings.name, settings.key_id))


def run(settings, options):
    """Polls until it is ended."""
    settings.load()
    settings.held = settings.lock()
    say("%s polls %s (version %s)" % (settings.name, settings.endpoint, VERSION))
    Carrier(settings).run()


def parsed(words):
    parser = argparse.ArgumentParser(prog="towline-agent", description="towline's agent for hosts that poll")
    parser.add_argument("--root", default="", help="a folder that stands for / (for tests)")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True
    joining = commands.add_parser("enroll", help="trade an invitation for a key of this host")
    joining.add_argument("--name", required=True, help="the instance's name in towline")
    joining.add_argument("--endpoint", required=True, help="the API server, https://…")
    joining.add_argument("--ca", help="a file with the certificate authority of the server, PEM")
    joining.set_defaults(work=enroll)
    commands.add_parser("run", help="poll").set_defaults(work=run)
    commands.add_parser("rotate", help="take a new key, also while the agent runs").set_defaults(work=rotate)
    return parser.parse_args(words)


def main():
    """The exit status: 0, or 1 with the reason on standard error."""
    options = parsed(sys.argv[1:])
    os.umask(0o077)
    try:
        options.work(Settings(options.root), options)
    except (AgentError, Failed, OSError) as error:
        say(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
