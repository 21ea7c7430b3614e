"""What `towline agent` and `towline instances` say of an agent."""

import doctest

import towline.agents.peers
import towline.api.serve
import towline.cli.agent


def test_docstring_examples_hold() -> None:
    for module in (towline.cli.agent, towline.agents.peers, towline.api.serve):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed
