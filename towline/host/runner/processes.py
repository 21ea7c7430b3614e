"""Processes of this host: families, signals, start times."""

import os

from towline.host.runner.files import read_bytes
from towline.host.runner.quick_signal import signal


def boot_id():
    """Tells one boot of this host from the next."""
    return (read_bytes("/proc/sys/kernel/random/boot_id") or b"unknown").decode().strip()


def process(pid):
    """(parent, session, start time) of a process that is alive, else None."""
    data = read_bytes("/proc/%d/stat" % pid)
    if not data:
        return None
    fields = data[data.rfind(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return int(fields[1]), int(fields[3]), int(fields[19])


def family(leader):
    """{pid: start time} of a script's processes: its session, its descendants, and the sessions that these have
    made (su makes one), without us."""
    everything = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            info = process(int(name))
            if info:
                everything[int(name)] = info
    ours, found, sessions = os.getsid(0), set(), {leader}
    if leader in everything:
        found.add(leader)
    while True:
        more = {
            pid
            for pid, (parent, session, _) in everything.items()
            if pid not in found and (parent in found or session in sessions)
        }
        if not more:
            break
        found |= more
        sessions |= {everything[pid][1] for pid in more} - {ours}
    return {pid: everything[pid][2] for pid in found if pid != os.getpid()}


def send_signal(members, number):
    """To each process that is still the one that was meant."""
    for pid, start in members.items():
        info = process(pid)
        if info and info[2] == start:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
            except PermissionError:
                pass  # a set-user-id child of a runner that is not root


def kill_all(leader, members):
    """Ends a script's processes, those too that are being made meanwhile: stopped first, so that none makes another."""
    for _ in range(100):
        more = {pid: start for pid, start in family(leader).items() if pid not in members}
        send_signal(more or members, signal.SIGSTOP)
        members.update(more)
        if not more:
            break
    send_signal(members, signal.SIGKILL)


def alive(members):
    """Those of them that are still there."""
    return {pid: start for pid, start in members.items() if (process(pid) or (0, 0, None))[2] == start}
