"""The fleet in a box by hand: `python -m tests.harness.fleet up -n 20 [--bastion]`, `… list`, `… down [NUMBER]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.harness.fleet.box import Fleet, fleets, missing, tear_down


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser("python -m tests.harness.fleet", description="Hosts on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="boot hosts and say how to log in")
    up.add_argument("-n", type=int, default=3, help="how many (default 3)")
    up.add_argument("--bastion", action="store_true", help="behind a bastion")
    verbs.add_parser("list", help="the fleets on this machine")
    down = verbs.add_parser("down", help="end fleets, also those of crashed tests (default: all)")
    down.add_argument("number", type=int, nargs="*")
    options = parser.parse_args()
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    if options.verb == "list":
        print("\n".join(map(str, fleets())))
    elif options.verb == "down":
        for number in options.number or fleets():
            tear_down(number)
            print(f"fleet {number} is gone")
    else:
        began = time.monotonic()
        fleet = Fleet(options.n, bastion=options.bastion).up()
        print(f"fleet {fleet.number}: {options.n} hosts in {time.monotonic() - began:.2f} s, below {fleet.folder}")
        for host in fleet.hosts.values():
            print(f"  {host.name:8} {host.address:14} {fleet.ssh_command(host)}")
        print(f"end it with: python -m tests.harness.fleet down {fleet.number}")
    return 0


sys.exit(main())
