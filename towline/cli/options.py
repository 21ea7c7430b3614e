"""Kinds of options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import click

from towline.model.bundle.revision import BundleType


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
BUNDLE_TYPE = click.Choice(get_args(BundleType))
FILE_EXISTS_BEHAVIOR = OneOf(["DISALLOW", "OVERWRITE", "RETAIN"])
