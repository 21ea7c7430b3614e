"""Orders to hosts have every field of docs/host-protocol.md."""

from __future__ import annotations

import json
import re

from tests.harness import ROOT
from towline.model.appspec.plan import CompiledPlan, Permission
from towline.model.bundle.revision import ResolvedRevision, RevisionLocation
from towline.model.fleet.instance import LocalAccess, SshAccess, Target
from towline.model.host.order import (
    Position,
    halt_order,
    logs_order,
    plan_part,
    preview_order,
    question_order,
    work_order,
)
from towline.model.messages.deploy import DeploymentOrder, Limits, Undo
from towline.model.messages.instance import InstanceOrder

PAGE = ROOT / "docs" / "host-protocol.md"


def revision(text: str = "s3://bucket/app.tgz?versionId=7&etag=abc") -> ResolvedRevision:
    location = RevisionLocation.parse(text)
    return ResolvedRevision(location=location, sha256="ab" * 32, size=5, bundle_type="tgz", label=location.label)


def deployment(**changes: object) -> DeploymentOrder:
    fields = {"deployment_id": "d-1", "run_id": "r-1", "application": "shop", "group": "prod", "group_id": "g-1"}
    return DeploymentOrder.model_validate({**fields, "revision": revision(), **changes})


WEB = Target(name="web-01", access=SshAccess(deployment_root="/srv/deploy", allow_aws_agent=True))


def documented_fields() -> set[str]:
    table = PAGE.read_text().split("## The order")[1].split("## Events")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}


def test_deploy_order_has_every_documented_field_but_those_of_other_orders() -> None:
    plan = plan_part(CompiledPlan(permissions=(Permission.model_validate({"object": "/srv", "except": ["a"]}),)))
    order = work_order(deployment(), WEB, plan=plan, url="https://signed")
    assert set(order) == documented_fields() - {"halt", "files"}
    assert json.loads(json.dumps(order)) == order
    assert order["plan"]["permissions"][0]["except"] == ["a"]
    assert order["revision"]["env"] == {
        "BUNDLE_BUCKET": "bucket",
        "BUNDLE_KEY": "app.tgz",
        "BUNDLE_VERSION": "7",
        "BUNDLE_ETAG": "abc",
    }
    assert (order["deployment_root"], order["allow_aws_agent"], order["root"]) == ("/srv/deploy", True, "")


def test_a_version_that_nobody_named_is_not_told_to_scripts_and_the_etag_is() -> None:
    found = revision().model_copy(update={"version_was_found": True})
    order = work_order(deployment(revision=found), WEB, plan=None)
    assert order["revision"]["env"] == {"BUNDLE_BUCKET": "bucket", "BUNDLE_KEY": "app.tgz", "BUNDLE_ETAG": "abc"}


def test_github_revision_gives_scripts_the_commit() -> None:
    order = work_order(deployment(revision=revision("github://o/r@abc123")), WEB, plan=None)
    assert order["revision"]["env"] == {"BUNDLE_COMMIT": "abc123"}


def test_undo_names_what_it_undoes_and_carries_neither_plan_nor_revision() -> None:
    order = work_order(deployment(revision=None, undo=Undo(deployment_id="d-0")), WEB, plan=None)
    assert (order["do"], order["undo"], order["plan"], order["revision"]) == ("undo", "d-0", None, None)


def test_deadline_travels_as_seconds_left_and_bounds_the_wait_for_the_host() -> None:
    order = work_order(deployment(limits=Limits(lock_wait_seconds=500)), WEB, plan=None, deadline_seconds=90.5)
    assert (order["limits"]["deadline"], order["limits"]["lock_wait"]) == (90.5, 90.5)
    late = work_order(deployment(), WEB, plan=None, deadline_seconds=-3)
    assert late["limits"]["deadline"] == 0


def test_second_connection_says_what_it_has_seen() -> None:
    order = work_order(deployment(), WEB, plan=None, position=Position(after=9, log_after=70, was_started=True))
    assert (order["after"], order["log_after"], order["started"]) == (9, 70, True)


def test_questions_name_the_place_and_preview_lists_the_files() -> None:
    local = Target(name="demo", access=LocalAccess(root="/tmp/demo"))
    assert question_order("inventory", local)["root"] == "/tmp/demo"
    assert logs_order(deployment(), WEB)["group"]["id"] == "g-1"
    asked = InstanceOrder(deployment_id="d-1", run_id="r-1", instance="web-01", page="p", deadline_seconds=1)
    assert halt_order(asked, WEB, "now") | {"do": "halt", "halt": "now", "run": "r-1"} == halt_order(asked, WEB, "now")
    preview = preview_order(deployment(), WEB, plan_part(CompiledPlan()), [{"path": "a", "type": "file"}])
    assert (preview["do"], preview["files"][0]["path"]) == ("plan", "a")
