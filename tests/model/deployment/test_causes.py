"""Which failures are told as one: a table of pairs that people would call the same, or not."""

import pytest

from tests.harness.loop import ratio_of_times
from towline.model.deployment.causes import Failure, by_cause, failure_of, normalized
from towline.model.deployment.status import Outcome
from towline.model.messages.instance import Fault, InstanceOutcome

ROOT = "/opt/codedeploy-agent/deployment-root/6b1f7d0e"

SAME = [
    ("addresses", "10.0.3.22:8080: connection refused", "10.0.3.7:8080: connection refused"),
    ("addresses without a port", "no answer from 10.0.3.22", "no answer from 192.168.0.1"),
    ("IPv6", "connect to [2001:db8::1]:22 failed", "connect to [2001:db8::ff:2]:22 failed"),
    ("IPv6, bare", "connect to 2001:db8::1 failed", "connect to fe80::1 failed"),
    ("names with a port", "connect to db-a.internal:5432 failed", "connect to db-b.internal:5432 failed"),
    ("user and host", "deploy@node3.internal cannot be reached", "deploy@node4.internal cannot be reached"),
    ("own names", "web-02: disk full", "web-03: disk full"),
    ("own names in a path", "/srv/web-02/app: no such file", "/srv/web-03/app: no such file"),
    ("numbers", "killed process 4711", "killed process 99"),
    ("durations", "gave up after 30.5s", "gave up after 31s"),
    ("sizes", "12 of 480 MB free", "7 of 480 MB free"),
    ("hexadecimal", "container 3f2a9c81b7d0 exited", "container a7c01b2f44e9 exited"),
    ("pointers", "fault at 0x7f3a10", "fault at 0x55d0e8"),
    ("UUIDs", "request 6b1f7d0e-2f0a-5c5e-9a35-7a1d3f6f2f10", "request 00000000-aaaa-5c5e-9a35-7a1d3f6f2f11"),
    ("times", "2025-01-01T10:00:00.123Z no space", "2025-01-01T10:02:41.9Z no space"),
    ("clocks", "10:00:01 no space", "10:02:41 no space"),
    ("deployments", "another deployment holds the host: d-ABCDEF123", "another deployment holds the host: d-XYZDEF124"),
    (
        "the deployment's own paths",
        f"{ROOT}/d-75I7MBT7C/deployment-archive/a.sh: not found",
        f"{ROOT}/d-ROLLBACK1/deployment-archive/a.sh: not found",
    ),
    ("temporary names", "cannot write /tmp/tmp.Xa8Bk2Lq/x", "cannot write /tmp/tmp.b7TTk2Lz/x"),
]

DIFFERENT = [
    ("reasons", "web-02: Connection refused", "web-03: Name or service not known"),
    ("exit codes", "failed with exit code 1", "failed with exit code 137"),
    ("exit statuses", "exit status 1", "exit status 2"),
    ("signals", "ended by signal 9", "ended by signal 15"),
    ("error numbers", "[Errno 28] cannot write", "[Errno 13] cannot write"),
    ("HTTP statuses", "HTTP 502 from the shop", "HTTP 404 from the shop"),
    ("HTTP with a version", "HTTP/1.1 502 Bad Gateway", "HTTP/1.1 404 Not Found"),
    ("lines of a script", "scripts/a.sh: line 12: no", "scripts/a.sh: line 40: no"),
    ("lines behind a colon", "app/main.py:12: no", "app/main.py:40: no"),
    ("names with digits", "libfoo2 is missing", "libfoo3 is missing"),
    ("words", "package abcdef is missing", "package fedcba is missing"),
]


def failure(instance: str, message: str) -> Failure:
    return failure_of(InstanceOutcome(instance=instance, outcome=Outcome.FAILED, message=message))


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_what_differs_from_host_to_host_makes_no_cause_of_its_own(one: str, other: str) -> None:
    assert failure("web-02", one).cause == failure("web-03", other).cause


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in DIFFERENT], ids=[case[0] for case in DIFFERENT])
def test_what_means_something_else_is_another_cause(one: str, other: str) -> None:
    assert failure("web-02", one).cause != failure("web-03", other).cause


def test_a_host_called_like_a_word_changes_no_text() -> None:
    assert failure("a", "not a file").cause == failure("b", "not a file").cause


def test_an_unreachable_host_is_told_by_why_and_not_by_when_it_was_lost() -> None:
    def lost(name: str, why: str, when: str) -> InstanceOutcome:
        fault = Fault(code="Unreachable", message=f"deploy@{name}:22 cannot be reached: {why}")
        message = f"{fault.message} (tried for 120 s); {when}"
        return InstanceOutcome(instance=name, outcome=Outcome.UNREACHABLE, message=message, fault=fault)

    every = [
        lost("web-01", "Connection refused", "nothing was begun there"),
        lost("web-02", "Name or service not known", "nothing was begun there"),
        lost("web-03", "Connection refused", "last seen in Install"),
    ]
    assert [[one.instance for one in cause] for cause in by_cause(every, failure_of)] == [
        ["web-01", "web-03"],
        ["web-02"],
    ]


def test_only_the_last_lines_of_a_log_count() -> None:
    end = "one\ntwo\nthree\nfour\nno space\n"
    logs = ["copied 12 files\n" + end, "copied them all\n" + end]
    assert len({Failure("failed", log=log).cause for log in logs}) == 1


@pytest.mark.parametrize("text", ["a-", "1,", "/", "a:", "d-A", "0a", "tmp.", "1:", "::", "/deployment-root/", "a.sh"])
def test_time_grows_with_the_text_and_not_with_its_square(text: str) -> None:
    assert ratio_of_times(normalized, text, small=10_000, factor=16) < 16 * 4  # 256 where it grew with the square
