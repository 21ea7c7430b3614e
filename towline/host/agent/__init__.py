"""towline's agent: lets a host be deployed to that only goes out by HTTPS.

Its modules are joined into one file (`towline/host/join.py`): Python 3.6 or newer, standard library only. It is a
carrier: it polls an API server and starts the runner's connected end, whose standard input and output it carries. What
is done on the host, and that it is done once, is the runner's part. The protocol is in docs/agents.md.
"""
