"""What the environment says."""

from pathlib import Path

import pytest

from towline.errors import InvalidInput
from towline.settings import read_settings


def test_nothing_said() -> None:
    settings = read_settings({"HOME": "/home/x"})
    assert settings.store == ""
    assert settings.worker_store == str(settings.data_dir / "store")
    temporal = read_settings({"HOME": "/nowhere"}).temporal()
    assert (temporal.address, temporal.namespace) == ("localhost:7233", "default")


def test_towlines_own_variables() -> None:
    settings = read_settings({"TOWLINE_DATA_DIR": "/d", "TOWLINE_STORE": "s3://b/p", "TOWLINE_UI": "http://ui"})
    assert settings.data_dir == Path("/d")
    assert settings.worker_store == "s3://b/p"
    assert settings.ui == "http://ui"


def test_temporals_variables_and_profile_file(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.prod]\naddress = "t.example:7233"\nnamespace = "shop"\n')
    environ = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "prod"}
    assert read_settings(environ).temporal().namespace == "shop"
    beaten = read_settings(environ | {"TEMPORAL_ADDRESS": "127.0.0.1:9"}).temporal()
    assert (beaten.address, beaten.namespace) == ("127.0.0.1:9", "shop")


def test_a_broken_profile_file_is_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text("[profile.prod\n")
    with pytest.raises(InvalidInput, match="Temporal's settings cannot be read"):
        read_settings({"TEMPORAL_CONFIG_FILE": str(file)}).temporal()
    file.write_text("")
    with pytest.raises(InvalidInput):
        read_settings({"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "absent"}).temporal()
