"""The record in the store: JSON, page and the journal's line; a log that wants to be more than text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from activities.records import RecordActivities
from tests.harness.reports import HOSTILE, invented
from towline.model.deployment.report import DeploymentReport, merge
from towline.model.deployment.status import Creator, DeploymentStatus, Outcome
from towline.model.deployment.store_keys import instance_key, report_key
from towline.model.messages.view import RollbackEnd
from towline.report import render
from towline.store import open_store
from towline.store.journal import Journal


class Tags(HTMLParser):
    """Collects what a browser would see as tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}


async def test_the_report_is_written_as_json_page_and_line(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    record, reports = invented(12, failed=2, skipped=3)
    for name, report in reports.items():
        store.put(instance_key("d-75I7MBT7C", name), report.model_dump_json().encode())
    written = await RecordActivities(store).write_report(record)
    assert written.key == report_key("d-75I7MBT7C")
    assert Path(written.address).read_text().startswith("<!doctype html>")
    merged = merge(record, reports, written.address)
    assert json.loads(store.get(written.key)) == merged.as_json()
    assert DeploymentReport.read(store.get(written.key)) == merged
    (line,) = Journal(store, "deployments").read_new()
    assert (line["deploymentId"], line["status"]) == ("d-75I7MBT7C", "Failed")


async def test_a_torn_or_missing_record_does_not_stop_the_report(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    record, _ = invented(3, failed=0)
    store.put(instance_key("d-75I7MBT7C", "web-001"), b'{"outcome": ')
    written = await RecordActivities(store).write_report(record)
    targets = json.loads(store.get(written.key))["deploymentTargets"]
    assert [one["instanceTarget"]["status"] for one in targets] == ["Succeeded"] * 3


def test_what_a_log_says_is_only_text() -> None:
    record, reports = invented(6, failed=2)
    hostile = record.info.model_copy(update={"description": HOSTILE, "application_name": HOSTILE})
    page = render(merge(record.model_copy(update={"info": hostile}), reports))
    seen = Tags(page)
    assert not {"script", "img", "iframe", "link", "form", "object", "base"} & set(seen.tags)
    assert not {name for name in seen.attributes if name.startswith("on")} | ({"style", "src"} & seen.attributes)
    assert re.findall(r'href="([^"]*)"', page) == ["../d-ROLLBACK1/report.html"]  # the rollback's, beside this one
    assert "no space left on device" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = render(merge(*invented(6)))
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|url\(|@import", page)


@pytest.mark.slow
def test_a_large_fleet_gives_a_page_of_a_size_that_browsers_like() -> None:
    page = render(merge(*invented(5000, failed=60, at_once=300)))
    assert len(page) < 6_000_000
    assert Tags(page).tags["details"] == 60  # only those that need a look unfold
    assert page.count("</article>") == 1  # they have one cause, and it is told once


def test_each_cause_is_told_once_and_the_commonest_first() -> None:
    record, reports = invented(12, failed=3)
    odd = reports["web-010"]
    events = tuple(e.model_copy(update={"message": "alone"}) if e.status == "Failed" else e for e in odd.events)
    reports["web-010"] = odd.model_copy(update={"events": events})
    page = render(merge(record, reports))
    assert "<strong>web-011, web-012</strong>" in page
    assert page.index("web-011, web-012") < page.index("<strong>web-010</strong>")


def after_its_rollback(unrestored: tuple[str, ...] = ()) -> DeploymentReport:
    """The report of a failed rollout of nine, of which three failed, once its rollback has ended."""
    record, reports = invented(12, failed=3, skipped=3)
    back = tuple(name for name in reports if name not in unrestored)
    results = {
        Outcome.ROLLED_BACK: back,
        Outcome.NOT_RESTORED: unrestored,
        Outcome.SKIPPED: record.results[Outcome.SKIPPED],
    }
    end = RollbackEnd(
        deployment_id="d-ROLLBACK1",
        status=DeploymentStatus.FAILED if unrestored else DeploymentStatus.SUCCEEDED,
        complete_time="2025-01-01T10:01:00+00:00",
        succeeded=len(back),
        total=9,
    )
    progress = record.progress.model_copy(
        update={"rollback": end, "not_restored": unrestored, "is_whole": not unrestored}
    )
    return merge(record.model_copy(update={"results": results, "progress": progress}), reports)


def test_the_page_tells_what_failed_and_what_the_rollback_came_to() -> None:
    report = after_its_rollback()
    assert [cause.outcome for cause in report.causes] == ["failed"]
    page = render(report)
    shown = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page[page.index("<main") :]))
    assert "3 failed 3 skipped then 9 rolled back" in shown
    assert "Rollback d-ROLLBACK1 Succeeded: 9 of 9 instances are back." in shown
    assert 'class="pill failed"' in page
    assert "pill rolled-back" not in page
    assert "Ended, before its rollback" in shown
    assert "Rollback ended 2025-01-01 10:01:00 UTC" in shown
    assert "3 of 12 instances failed, and CodeDeployDefault.HalfAtATime wants 8 to stay healthy" in shown


def test_the_page_of_a_rollback_that_left_hosts_owed_names_them() -> None:
    page = render(after_its_rollback(unrestored=("web-001",)))
    assert "Rollback d-ROLLBACK1 Failed: 8 of 9 instances are back." in page
    assert "Rollback incomplete on web-001." in page


def test_many_causes_do_not_hide_the_timeline() -> None:
    record, reports = invented(12, failed=0)
    words = ("apple", "pear", "plum", "fig", "nut", "lemon", "quince", "berry")
    for name, word in zip(list(reports), words, strict=False):
        bad = reports[name].events[4].model_copy(update={"status": "Failed", "message": f"no {word} there"})
        outcome = reports[name].outcome.model_copy(update={"outcome": Outcome.FAILED})
        reports[name] = reports[name].model_copy(update={"outcome": outcome, "events": (bad,)})
    results = {Outcome.FAILED: tuple(list(reports)[:8]), Outcome.SUCCEEDED: tuple(list(reports)[8:])}
    page = render(merge(record.model_copy(update={"results": results}), reports))
    assert page.index("no plum there") < page.index("5 other causes") < page.index("no fig there")


@pytest.mark.parametrize(
    ("creator", "asked", "run", "shown"),
    [
        (
            "user",
            "ada (runner@ci-7)",
            "https://ci.example/run/7",
            'ada (runner@ci-7) · <a href="https://ci.example/run/7"',
        ),
        ("user", "ada@laptop", "", "<dd>ada@laptop</dd>"),
        ("user", "ada@laptop", "javascript:alert(1)", "<dd>ada@laptop</dd>"),
        ("user", "", "", "<dd>user</dd>"),
        ("codeDeployRollback", "", "", "<dd>towline, as a rollback</dd>"),
    ],
)
def test_the_page_names_who_asked(creator: str, asked: str, run: str, shown: str) -> None:
    record, reports = invented(2, failed=0)
    info = record.info.model_copy(update={"creator": Creator(creator)})
    progress = record.progress.model_copy(update={"requested_by": asked, "requested_from": run})
    report = merge(record.model_copy(update={"info": info, "progress": progress}), reports)
    assert shown in render(report)
