"""A stand-in runner for tests of transports: it speaks the protocol and does as `x_script` in the order says."""

SOURCE = b"""
import json, os, sys

def say(event):
    sys.stdout.write(json.dumps(event) + "\\\\n")
    sys.stdout.flush()

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
            say({"kind": "transfer", "bytes": len(data), "size": size, "sum": sum(data)})
        elif step == "die":
            sys.stderr.write("out of memory\\\\n")
            return 3
        elif step == "listen":
            say({"kind": "heard", "line": read_line()})
        else:
            say({"kind": step, "who": os.geteuid(), "environment": sorted(os.environ), "root": order.get("root")})
    say({"kind": order["do"]} if order["do"] == "check" else {"kind": "finished", "outcome": "succeeded"})
""".replace(b"\\\\n", b"\\n")
