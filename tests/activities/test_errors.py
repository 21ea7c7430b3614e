"""Temporal that does not answer is waited for: workers of which too much is asked make deployments slow, not fail."""

from __future__ import annotations

import pytest
from temporalio.testing import ActivityEnvironment

from activities import errors
from activities.errors import patiently
from towline.errors import OurFault, TemporalUnavailable


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "PAUSE_SECONDS", 0)


async def test_what_does_not_answer_is_asked_again() -> None:
    answers: list[Exception | str] = [TemporalUnavailable("no worker answers"), TemporalUnavailable("again"), "there"]

    async def read() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await ActivityEnvironment().run(patiently, read) == "there"


@pytest.mark.parametrize(("error", "patience"), [(TemporalUnavailable("gone"), 0), (OurFault("S3 says 403"), 60)])
async def test_in_the_end_it_is_raised_and_other_faults_at_once(
    error: Exception, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "PATIENCE_SECONDS", patience)

    async def read() -> str:
        raise error

    with pytest.raises(type(error)):
        await ActivityEnvironment().run(patiently, read)
