"""towline's settings, read once from the environment. Temporal's and AWS's variables keep their usual meaning.

TOWLINE_DATA_DIR   where `towline up` keeps Temporal's data and the store; default: the user's data directory
TOWLINE_STORE      a directory or s3://BUCKET[/PREFIX]; unset, a client asks the catalogue and a worker uses `store`
                   in the data directory
TOWLINE_MAX_UNPACKED_BYTES
                   bytes that an archive may unpack to; default: 1 GiB, or 100 times its size if that is more
TOWLINE_UI         address of Temporal's Web UI for the hints that commands print
TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS…, TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE
                   as in Temporal's CLI and SDKs, profile file included
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from towline.errors import InvalidInput

if TYPE_CHECKING:
    from temporalio.envconfig import ClientConfigProfile

DEFAULT_ADDRESS = "localhost:7233"


@dataclass(frozen=True)
class Settings:
    """The settings; `environ` is the environment they were read from."""

    data_dir: Path
    store: str = ""  # as given; empty: not given
    ui: str = ""
    max_unpacked_bytes: int | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False, compare=False)

    @property
    def host_keys(self) -> Path:
        """Of `towline api`: the file that the access keys of hosts with AWS's agent are derived from."""
        return self.data_dir / "host-keys"

    @property
    def worker_store(self) -> str:
        """The store for a worker: the given one, else `store` in the data directory."""
        return self.store or str(self.data_dir / "store")

    def temporal(self) -> TemporalSettings:
        """The connection to Temporal. Raises InvalidInput for a broken profile file or a missing profile."""
        # Imported here: commands that do not use Temporal start faster without it.
        from temporalio.envconfig import ClientConfigProfile

        try:
            profile = ClientConfigProfile.load(override_env_vars=dict(self.environ))
        except (RuntimeError, ValueError, OSError) as error:
            raise InvalidInput(
                f"Temporal's settings cannot be read: {error}",
                "See TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE, and check with: temporal config list",
            ) from error
        return TemporalSettings(profile, profile.address or DEFAULT_ADDRESS, profile.namespace or "default")


@dataclass(frozen=True)
class TemporalSettings:
    """An address (host:port), a namespace, and the rest of Temporal's profile (TLS, API key)."""

    profile: ClientConfigProfile
    address: str
    namespace: str


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process, or of the given environment. Raises InvalidInput, naming the variable."""
    given = dict(os.environ if environ is None else environ)
    _check_text(given)
    return Settings(
        data_dir=_folder(given["TOWLINE_DATA_DIR"]) if given.get("TOWLINE_DATA_DIR") else default_data_dir(),
        store=given.get("TOWLINE_STORE", ""),
        ui=given.get("TOWLINE_UI", ""),
        max_unpacked_bytes=_bytes(given.get("TOWLINE_MAX_UNPACKED_BYTES", "")),
        environ=given,
    )


def _bytes(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 19:
        raise InvalidInput(f"TOWLINE_MAX_UNPACKED_BYTES is {text!r}, no number of bytes.", "Write digits only.")
    return int(text)


def default_data_dir() -> Path:
    """The user's data directory for towline (`~/.local/share/towline` on Linux)."""
    import platformdirs

    folder = platformdirs.user_data_path("towline", appauthor=False)
    if not folder.is_absolute():  # neither HOME nor a passwd entry: `~` would stay literal
        raise InvalidInput("this user has no home directory.", "Set TOWLINE_DATA_DIR to a folder for towline's data.")
    return folder


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InvalidInput(f"TOWLINE_DATA_DIR={text}: there is no such user.", "Write the path out.") from error


def _check_text(environ: Mapping[str, str]) -> None:
    """Raises InvalidInput for a variable of towline or Temporal that is not UTF-8."""
    for name, value in environ.items():
        if name.startswith(("TOWLINE_", "TEMPORAL_")):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InvalidInput(f"{name} is not UTF-8 text.", "Set it again.") from error
