"""What bundles, hooks and hosts may send to do harm, made by code. Whoever meets a new kind adds it here.

`TEXTS` are units of text: repeated to any length (`repeated`), each is hard on some way of searching. `event_lines`
are what a host may print in place of events.
"""

from __future__ import annotations

import json

TEXTS = [
    # ordinary
    "2026-01-01 12:00:00 INFO started worker 12 on db-3.example.com:8080 in 0.3 s\n",
    '{"level": "info", "message": "all is well", "path": "/srv/app"}\n',
    "[stdout]\x1b[32mPASS\x1b[0m tests/test_app.py::test_start (0.01s)\n",
    "password=hunter22\n",
    # one word, or one line, without end
    "a",
    "a-",
    "ab_",
    " ",
    "\t",
    "\n",
    "\x00",
    "\\",
    "\\n",
    '"',
    "'",
    '\\"',
    "=",
    ":",
    "@",
    "/",
    "//",
    "é",
    "😀",
    "word+",
    "a.",
    "web.db.",
    "a://",
    "http://",
    "http://a:",
    "http://a:b",
    "http://a:b@c/",
    "://a",
    "a@",
    # beginnings of secrets that have no end
    "password",
    "password ",
    "password-",
    "password=",
    "password='",
    'password="',
    'password="x\n',
    'password=\\"',
    "password='a' ",
    "password='a'\n",
    "password:\n",
    "password:\n  ",
    "password: |\n",
    "password = \\\n",
    "--password ",
    "--password",
    "-token -",
    "pass",
    "pwd",
    "pass=",
    "a=",
    "a=&",
    "k=token&",
    "'a' + ",
    '"password": "a" "b" ',
    "secret_key-",
    "sess_id",
    "auth_key",
    "private_",
    "authorization: ",
    'authorization:"',
    'cookie: a="',
    "bearer ",
    "bearer a",
    "basic 1",
    "curl -u ",
    "-u a:",
    "-uuuuuuuuu",
    "--user a",
    "mysql ",
    "mysql -p",
    "mysql -p'",
    "sshpass -p ",
    "docker login ",
    "docker docker ",
    "login a password ",
    "login ",
    "identified by ",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "-----END PRIVATE KEY-----\n",
    "A" * 64 + "\n",
    "A" * 64 + "\n-----END PRIVATE KEY-----\n",
    "-----BEGIN A A A A A A A A A A A A A A A",
    "eyJ",
    "eyJaaaaaaaa.",
    "eyJaaaaaaaa.eyJaaaaaaaa.",
    "ghp_",
    "ghp_aaaaaaaaaaaaaaaaaaa-",
    "sk-",
    "SG.aaaaaaaaaa.",
    "AKIA",
    "AIza",
    "xoxb-",
    "12345678:AA",
]


def repeated(unit: str, size: int) -> str:
    """`size` characters of a unit."""
    return (unit * (size // len(unit) + 1))[:size]


def of_size(size: int) -> list[str]:
    """Each kind of text, `size` characters long; each also as the end of an ordinary line, and of an open quote."""
    return [start + repeated(unit, size) for unit in TEXTS for start in ("", "INFO ", 'password="')]


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def event_lines() -> dict[str, bytes]:
    """Lines in place of an event, by what is wrong with them. Each begins like one of the host protocol's."""
    return {
        "nested deep": b'{"kind":"started","seq":1,"offset":0,"key":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "nested deep and open": b'{"kind":"log","text":' + b'{"a":' * 100_000,
        "log without fields": b'{"kind":"log"}',
        "log of wrong types": _line(kind="log", at="x", end=[], text={}),
        "log that ends before it begins": _line(kind="log", at=10, end=-(10**30), text=""),
        "a number of 100,000 digits": b'{"kind":"log","at":0,"text":"","end":' + b"9" * 100_000 + b"}",
        "numbers that are none": b'{"kind":"started","seq":1,"offset":NaN}',
        "an endless offset": b'{"kind":"started","seq":1,"offset":1e999}',
        "an offset beyond all years": b'{"kind":"started","seq":1,"offset":1e300}',
        "seq beyond all numbers": _line(kind="started", seq=10**40, offset=0),
        "seq as text": _line(kind="started", seq="1", offset=0),
        "an end of wrong types": _line(kind="finished", seq=1, offset=0, outcome=7, error_code="x", log=[1]),
        "an event of wrong types": _line(kind="event_ended", seq=1, offset=0, event={}, status=[], error_code=[]),
        "a refusal of wrong types": _line(kind="refused", code=[], message={}, hint=5),
        "a need of wrong types": _line(kind="need", what={}),
        "kind of a wrong type": b'{"kind":["log"]}',
        "400,000 members": b'{"kind":"started","seq":1,"offset":0,"key":[' + b"[]," * 400_000 + b"0]}",
        "400,000 keys": b"{" + b",".join(b'"k%d":0' % n for n in range(400_000)) + b',"kind":"started"}',
    }


def odd_lines() -> dict[str, bytes]:
    """Lines that are odd and can be understood: each is to be taken, in bounded space."""
    return {
        "a lone surrogate": b'{"kind":"refused","code":"X","message":"a \\ud800 b","hint":"\\udfff"}',
        "a refusal of 3 MB": _line(kind="refused", code="X" * 1000, message="m" * 3_000_000, hint="h" * 1000),
        "control characters": _line(kind="refused", code="X", message="\x1b[2J\u202e\x00", hint="\x07"),
        "an end with a long log": _line(kind="finished", seq=1, offset=0, outcome="failed", log="a-" * 200_000),
    }
