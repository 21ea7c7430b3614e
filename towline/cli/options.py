"""Kinds of options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


class OneOf(click.ParamType[str]):
    """One of CodeDeploy's words, in any case; help and errors show them as CodeDeploy writes them."""

    name = "word"

    def __init__(self, words: Sequence[str]) -> None:
        self._words = {word.casefold(): word for word in words}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word as CodeDeploy writes it."""
        found = self._words.get(str(value).casefold())
        if found is None:
            self.fail(f"{value!r} is none of {', '.join(self._words.values())}.", param, ctx)
        return found

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The words themselves."""
        return "|".join(self._words.values())


STATUS = OneOf(["Created", "Queued", "InProgress", "Baking", "Succeeded", "Failed", "Stopped"])
BUNDLE_TYPE = click.Choice(["tar", "tgz", "zip"])  # BundleType; reading it from there would import pydantic
IF_BUSY = click.Choice(["wait", "fail", "supersede"])
FILE = click.Path(dir_okay=False, path_type=Path)
FILE_EXISTS_BEHAVIOR = OneOf(["DISALLOW", "OVERWRITE", "RETAIN"])
PATIENCE_SECONDS = 120.0
"""How long a deployment is watched without an answer, by default."""
