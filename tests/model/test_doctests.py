"""Every example in a docstring of the model runs."""

import doctest
import importlib
import pkgutil

import pytest

import towline.model

MODULES = sorted(info.name for info in pkgutil.walk_packages(towline.model.__path__, "towline.model."))


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
