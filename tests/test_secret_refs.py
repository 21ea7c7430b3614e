"""Secrets: resolved by name, never shown."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from tests.harness.s3 import use_aws
from towline.errors import InvalidInput, OurFault
from towline.secret_refs import resolve


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
