"""References to secrets.

A record holds only a reference: `env:NAME`, `file:PATH`, `secretsmanager:ID[#KEY]` or `ssm:NAME`. A worker resolves it
at each use, so that a rotated secret takes effect at once, and passes the value only to where it is needed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from towline import aws
from towline.errors import InvalidInput, NotFound, OurFault

FORMS = "env:NAME, file:PATH, secretsmanager:ID[#KEY], ssm:NAME"


def resolve(name: str) -> str:
    """The value of a secret by its reference, without a trailing line end.

    Raises InvalidInput for an unknown form of reference, OurFault if this worker cannot read the value. No error
    contains the value.
    """
    kind, _, rest = name.partition(":")
    if not rest or kind not in _READERS:
        raise InvalidInput(f"secret {_shown(name)} has none of the known forms", f"Write it as one of {FORMS}")
    value = _READERS[kind](rest).strip("\r\n")
    if not value:
        raise OurFault(f"secret {name} is empty")
    return value


def _from_env(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise OurFault(
            f"secret env:{name}: this worker's environment has no variable {name}",
            "Set it where the worker is started, for systemd in its EnvironmentFile",
        ) from None


def _from_file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise OurFault(f"secret file:{path}: {reason}", f"Check on the worker with: ls -l {path}") from None


def _from_secrets_manager(name: str) -> str:
    identifier, _, key = name.partition("#")
    what = f"secret secretsmanager:{identifier}"
    with _missing_is_our_fault(), aws.translated(what):
        answer = aws.client("secretsmanager").get_secret_value(SecretId=identifier)
    text = str(answer.get("SecretString") or "")
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        # `from None`: the decoder's error contains the document.
        raise OurFault(f"{what} is no JSON object with the key {key!r}") from None


def _from_ssm(name: str) -> str:
    with _missing_is_our_fault(), aws.translated(f"secret ssm:{name}"):
        answer = aws.client("ssm").get_parameter(Name=name, WithDecryption=True)
    return str(answer["Parameter"]["Value"])


@contextmanager
def _missing_is_our_fault() -> Iterator[None]:
    """Turns a missing secret into OurFault: every host would hit it."""
    try:
        yield
    except (NotFound, InvalidInput) as error:
        raise OurFault(error.message, "Create it, or correct its name") from None


_READERS = {"env": _from_env, "file": _from_file, "secretsmanager": _from_secrets_manager, "ssm": _from_ssm}


def _shown(name: str) -> str:
    """A reference as shown in errors. One of unknown form may be the secret itself, pasted by mistake."""
    kind, colon, _ = name.partition(":")
    return repr(f"{kind}:…") if colon and re.fullmatch(r"[a-z]{1,20}", kind) else "(not shown)"
