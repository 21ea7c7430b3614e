"""Secrets: resolved by name, never shown."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from tests.support.s3 import use_aws
from towline.errors import InvalidInput, OurFault
from towline.secrets import mask, resolve


def test_environment_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "ghp_one")
    assert resolve("env:MY_TOKEN") == "ghp_one"
    file = tmp_path / "token"
    file.write_text("ghp_two\n")
    assert resolve(f"file:{file}") == "ghp_two"
    file.write_text("ghp_three\n")
    assert resolve(f"file:{file}") == "ghp_three", "read at each use"


@pytest.mark.slow
def test_aws(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_aws(monkeypatch, s3_address)
    boto3.client("ssm").put_parameter(Name="/ci/token", Value="p1", Type="SecureString")
    manager = boto3.client("secretsmanager")
    manager.create_secret(Name="github", SecretString=json.dumps({"token": "s1"}))
    assert resolve("ssm:/ci/token") == "p1"
    assert resolve("secretsmanager:github#token") == "s1"
    assert resolve("secretsmanager:github") == '{"token": "s1"}'
    for absent in ("ssm:/nope", "secretsmanager:nope", "secretsmanager:github#nope"):
        with pytest.raises(OurFault, match="nope") as caught:
            resolve(absent)
        assert "s1" not in str(caught.value)


@pytest.mark.parametrize("name", ["env:TOWLINE_NO_SUCH", "file:/no/such", "file:/"])
def test_what_this_worker_lacks_is_our_fault(name: str) -> None:
    with pytest.raises(OurFault, match=name):
        resolve(name)


@pytest.mark.parametrize("name", ["ghp_0123456789abcdef", "vault:x", "", "env:", "https://bob:hunter2@x"])
def test_a_pasted_secret_is_not_shown(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(name)
    assert "0123456789" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter22", "hunter22"),
        ('{"db_password": "hunter22", "user": "bob"}', "hunter22"),
        ("DB_PASSWORD: 'hunter 22'", "hunter 22"),
        ("export API_KEY=abcdef012", "abcdef012"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
        ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
        ("cloning https://bob:s3cr3t@github.com/o/r", "s3cr3t"),
        ("postgres://:s3cr3t@db/x", "s3cr3t"),
        ("Authorization: Bearer abc.def", "abc.def"),
        ("using ghp_0123456789abcdefghijABCD", "ghp_0123456789abcdefghijABCD"),
        ("GET /x?X-Amz-Signature=abc123&y=1", "abc123"),
        ("jwt eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2ln", "eyJzdWIi"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nafter", "MIIEow"),
        ("-----BEGIN PRIVATE KEY-----\ncut off he", "cut off he"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, secret: str) -> None:
    masked = mask(text)
    assert secret not in masked
    assert "[masked]" in masked


@pytest.mark.parametrize(
    "text",
    [
        "Script - stop.sh",
        "[stderr]no such file: /etc/tokens",
        "listening on http://0.0.0.0:8080",
        "a secret garden",
        "exit 1",
    ],
)
def test_ordinary_lines_stay(text: str) -> None:
    assert mask(text) == text


def test_known_secrets_are_masked_longest_first() -> None:
    assert mask("x abcdefgh y abcdef z ab", known=["abcdef", "abcdefgh", "ab", ""]) == "x [masked] y [masked] z ab"
