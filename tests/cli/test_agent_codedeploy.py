"""What `towline agent invite --codedeploy` prints for a host's two files."""

from __future__ import annotations

import pytest
import yaml

from towline.api.access_keys import AccessKey
from towline.cli.agent_codedeploy import Invitation, check_endpoint
from towline.errors import InvalidInput

KEY = AccessKey("TLH1.web-1", "0123456789abcdef", "web-1")


def test_the_settings_are_yaml_as_the_agent_reads_it() -> None:
    text = str(Invitation("web-1", KEY, "https://towline:8014"))
    settings = yaml.safe_load(text.partition("---\n")[2])
    assert settings == {
        "region": "us-east-1",
        "iam_user_arn": "arn:aws:iam::000000000000:user/web-1",
        "aws_access_key_id": "TLH1.web-1",
        "aws_secret_access_key": "0123456789abcdef",
        ":deploy_control_endpoint": "https://towline:8014",
        ":s3_endpoint_override": "https://towline:8014",
    }


def test_plain_http_is_for_a_trial_on_one_machine() -> None:
    settings = yaml.safe_load(str(Invitation("web-1", KEY, "http://127.0.0.1:8014")).partition("---\n")[2])
    assert settings[":codedeploy_test_profile"] == "beta"


@pytest.mark.parametrize("endpoint", ["http://towline:8014", "towline:8014", ""])
def test_an_endpoint_that_the_agent_does_not_take_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidInput, match="HTTPS only"):
        check_endpoint(endpoint)
