"""A stand-in runner for tests of transports: it speaks the protocol and does as `x_script` in the order says."""

SOURCE = b"""
import json, os, sys

def say(event):
    sys.stdout.write(json.dumps(event) + "\\\\n")
    sys.stdout.flush()

def tell(value):
    say({"kind": "log", "at": 0, "end": 0, "text": json.dumps(value)})

def read_line():
    return json.loads(sys.stdin.buffer.readline() or b"{}")

def main():
    order = read_line()
    for step in order.get("x_script", []):
        if step == "greet":
            print("Welcome to this host!")
        elif step == "archive":
            say({"kind": "need", "what": "archive"})
            size = read_line()["size"]
            data = sys.stdin.buffer.read(size)
            say({"kind": "transfer", "bytes": len(data), "size": size})
            tell(sum(data))
        elif step == "die":
            sys.stderr.write("out of memory\\\\n")
            return 3
        elif step == "listen":
            tell(read_line())
        else:
            say({"kind": step, "seq": 1})
            tell({"who": os.geteuid(), "environment": sorted(os.environ), "root": order.get("root")})
    end = {"kind": "finished", "seq": 2, "outcome": "succeeded"}
    say({"kind": "check", "findings": []} if order["do"] == "check" else end)
""".replace(b"\\\\n", b"\\n")
