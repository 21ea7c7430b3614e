"""Masking: what looks like a secret is not shown, ordinary lines are, and it takes time in proportion to the text."""

from __future__ import annotations

import pytest

from tests.harness import hostile
from tests.harness.loop import ratio_of_times
from towline.masking import mask

KEY = "\n".join(["MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpI"] * 8)

SECRETS = [
    ("password=hunter22", "hunter22"),
    ('{"db_password": "hunter22", "user": "bob"}', "hunter22"),
    (r'{"body": "{\"password\": \"hunter22\"}"}', "hunter22"),
    ("DB_PASSWORD: 'hunter 22'", "hunter 22"),
    ("password=hunter,22", "22"),
    ('password="a\\"hunter22"', "hunter22"),
    ("password='hunter22", "hunter22"),
    ("export API_KEY=abcdef012", "abcdef012"),
    ("DB_PASS=hunter22", "hunter22"),
    ("db.pass: hunter22", "hunter22"),
    ("pwd=hunter22", "hunter22"),
    ("Server=db;Uid=bob;Pwd=hunter22;", "hunter22"),
    ("MYSQL_PWD=hunter22 mysql", "hunter22"),
    ("tool --password hunter22 -v", "hunter22"),
    ("tool --db-password=hunter22", "hunter22"),
    ("tool --token \\\n   hunter22", "hunter22"),
    ("curl -u bob:hunter22 https://x", "hunter22"),
    ("curl -su 'bob:hunter22' https://x", "hunter22"),
    ("curl --user bob:hunter22 https://x", "hunter22"),
    ("curl --proxy-user=bob:hunter22 https://x", "hunter22"),
    ("mysql -h db -u bob -phunter22 shop", "hunter22"),
    ("+ mysqldump -p'hunter 22' shop", "hunter 22"),
    ("sshpass -p hunter22 ssh x", "hunter22"),
    ("redis-cli -a hunter22 ping", "hunter22"),
    ("docker login -u bob -p hunter22 registry", "hunter22"),
    ("ldapsearch -D cn=x -w hunter22", "hunter22"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
    ("cloning https://bob:s3cr3t@github.com/o/r", "s3cr3t"),
    ("cloning https://0123456789abcdef0123@github.com/o/r", "0123456789abcdef"),
    ("cloning https://0123456789abcdef0123:x-oauth-basic@github.com/o/r", "0123456789abcdef"),
    ("postgres://:s3cr3t@db/x", "s3cr3t"),
    ("postgres://bob:s3/cr3t@db/x", "cr3t"),
    ("postgres://bob:s3@cr3t@db/x", "cr3t"),
    ("Authorization: Bearer abc.def", "abc.def"),
    ("Authorization: Basic Ym9iOmh1bnRlcg==", "Ym9i"),
    ('-H "Authorization: Digest username=bob, response=abc123"', "abc123"),
    ('{"Authorization": "Token abc123"}', "abc123"),
    ("> Cookie: sid=abc123; theme=dark", "abc123"),
    ("Set-Cookie: sid=abc123; HttpOnly", "abc123"),
    ("using ghp_0123456789abcdefghijABCD", "ghp_0123456789abcdefghijABCD"),
    ("using sk_live_0123456789abcdef", "0123456789abcdef"),
    ("using AIzaSyA1234567890abcdefghijklmnopqrstuvw", "AIzaSyA123"),
    ("GET /x?X-Amz-Signature=abc123&y=1", "abc123"),
    ("GET /x?X-Amz-Credential=abc123&y=1", "abc123"),
    ("jwt eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2ln", "eyJzdWIi"),
    ("ALTER USER bob IDENTIFIED BY 'hunter22'", "hunter22"),
    ("machine x login bob password hunter22", "hunter22"),
    ("password:\n  hunter22\nnext", "hunter22"),
    ("[stdout]The new password:\n[stdout]hunter22", "hunter22"),
    ('"password":\n    "hunter 22",\n', "hunter 22"),
    ("password: |\n  hunter22\n", "hunter22"),
    ("password = \\\n  'hunter22'", "hunter22"),
    ("password = 'first' 'hunter22'", "hunter22"),
    ("password = 'first' + \"hunter22\"", "hunter22"),
    ("password = ('first'\n            'hunter22')", "hunter22"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nafter", "MIIEow"),
    ("-----BEGIN PRIVATE KEY-----\ncut off he", "cut off he"),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nMIIEow\n-----END PGP PRIVATE KEY BLOCK-----", "MIIEow"),
    (f"{KEY[10:]}\nqrst\n-----END RSA PRIVATE KEY-----\n", "MIIEow"),
    (f"[stdout]{KEY[10:]}\nqrst==\n-----END RSA PRIVATE KEY-----\n".replace("\n", "\n[stdout]"), "MIIEow"),
    (f"{KEY[10:]}\nqrst==\nand then it failed\n", "MIIEow"),
    (f"before\n{KEY}\n-----END EC PRIVATE KEY-----\n", "MIIEow"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_what_looks_like_a_secret_is_masked(text: str, secret: str) -> None:
    masked = mask(text)
    assert secret not in masked
    assert "[masked]" in masked


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ('{"db_password": "hunter22", "user": "bob"}', '"user": "bob"'),
        ("GET /x?X-Amz-Signature=abc123&y=1", "&y=1"),
        ("mysql -h db -u bob -phunter22 shop", "mysql -h db -u bob -p"),
        ("curl -u bob:hunter22 https://x", "https://x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nafter", "after"),
        (f"before\n{KEY}\n-----END EC PRIVATE KEY-----\nafter", "before"),
        (f"{KEY[10:]}\nqrst==\nand then it failed\n", "and then it failed"),
        ("password:\n  hunter22\nnext", "next"),
        ("tool --password hunter22 -v", "-v"),
    ],
)
def test_what_stands_beside_a_secret_stays(text: str, stays: str) -> None:
    assert stays in mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "Script - stop.sh",
        "[stderr]no such file: /etc/tokens",
        "listening on http://0.0.0.0:8080",
        "proxy http://10.0.0.1:3128/path?mail=bob@example.com",
        "cloning ssh://git@github.com/o/r.git",
        "a secret garden",
        "exit 1",
        "PWD=/srv/app",
        "OLDPWD=/srv/app",
        "docker run -u 1000:1000 image",
        "rsync -u web-01:/srv /srv",
        "mkdir -p /srv/app",
        "ssh -p22 web-01",
        "PASS: 12, FAIL: 3",
        "PASS tests/test_a.py",
        "compass=north bypass=1",
        "Cookies are enabled",
        "Enter password:\n[stdout]Welcome",
        "std::token::parse failed",
        "basic authentication is on",
        "done\nyes\nno\n",
        "-----BEGIN CERTIFICATE-----\n" + KEY + "\n-----END CERTIFICATE-----",
    ],
)
def test_ordinary_lines_stay(text: str) -> None:
    assert mask(text) == text


def test_a_secret_is_masked_wherever_a_long_log_is_cut() -> None:
    filler = "INFO all is well with worker 12, nothing to see\n"
    for shift in range(0, 2000, 37):
        text = "x" * shift + "\n" + filler * 500 + "DB_PASS=hunter22\npassword:\n  hunter22\n" * 800
        assert "hunter22" not in mask(text)


@pytest.mark.parametrize("unit", hostile.TEXTS, ids=[repr(unit)[:30] for unit in hostile.TEXTS])
def test_masking_takes_time_in_proportion_to_the_text(unit: str) -> None:
    """Eight times the text takes about eight times as long; of quadratic time it would be 64 times."""
    assert ratio_of_times(mask, unit, small=8 * 1024, factor=8) < 16
