"""The runner: does one deployment's work on a host, journals each step before it begins, and reports what happened.

Its modules are joined into the one file that hosts get (`towline/host/join.py`), started as `python3 -I -S`: Python 3.6
or newer, standard library only. The order comes on standard input, events go to standard output: docs/host-protocol.md.
What it does to a host, and where it differs from AWS's agent: docs/on-the-host.md. It knows no Temporal, no API and no
other host. Modules of the standard library that only some orders need are imported where they are used: a start costs
what it needs.
"""
