"""towline.yaml: what it says becomes records, what it gets wrong becomes problems with lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness import ROOT
from towline.model.catalogue.changes import diff, memberships, shortened
from towline.model.catalogue.records import Record
from towline.model.fleet.ranges import expand
from towline.model.manifest.parser import Manifest, merge, parse_manifest, unknown_references

FOLDER = ROOT / "tests/cases/manifest"
CASES = sorted(FOLDER.glob("*.yaml"))


def read(text: str, file: str = "towline.yaml") -> Manifest:
    return parse_manifest(text, file=file, folder="/srv/app", host="here")


def existing(manifest: Manifest) -> dict[str, Record]:
    """The records as the catalogue has them after an apply."""
    after = diff(manifest.records, {}).after
    return {key: Record(key=key, version=number, value=after[key]) for number, key in enumerate(after, 1)}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_problems_are_those_that_the_case_lists(path: Path) -> None:
    text = path.read_text()
    expected = [line.removeprefix("#! ") for line in text.splitlines() if line.startswith("#! ")]
    assert [str(problem) for problem in parse_manifest(text).problems] == expected


def test_the_designs_example_becomes_records() -> None:
    manifest = read((FOLDER / "everything.yaml").read_text())
    assert list(manifest.records) == [
        "application/shop",
        "group/shop/production",
        "config/three-quarters",
        "ssh/default",
        "ssh/dc1",
        "ssh/legacy",
        "instance/web-001",
        "instance/web-002",
        "instance/web-003",
        "instance/web-200",
        "instance/demo-01",
        "ec2/eu-west-1",
    ]
    assert manifest.records["instance/web-002"] == {
        "instanceName": "web-002",
        "zone": "a",
        "tags": {"role": "web", "env": "production"},
        "ssh": {"host": "web-002.dc1.example.com"},
        "use": "dc1",
        "owner": "team-web",
    }
    assert manifest.records["instance/demo-01"]["local"] == {"host": "here", "root": "/srv/app/hosts/demo-01"}
    assert manifest.owners == {"team-web"}


def test_the_example_in_the_documentation_has_no_problems() -> None:
    page = (FOLDER.parent.parent.parent / "docs" / "towline-yaml.md").read_text()
    manifest = read(page.partition("```yaml\n")[2].partition("```")[0])
    assert manifest.problems == []
    assert len(manifest.records) == 127


def test_an_aws_cli_skeleton_pastes_in() -> None:
    manifest = read((FOLDER / "aws-cli-skeleton.yaml").read_text())
    group = manifest.records["group/shop/production"]
    assert group["deploymentGroupId"] == "9b81a6c2-6bd4-4ed7-9d5a-6a9b1a1a1a1a"
    assert group["deploymentConfigName"] == "CodeDeployDefault.OneAtATime"
    assert group["autoScalingGroups"] == ["web-asg"]
    assert manifest.records["instance/web-1"]["tags"] == {"role": "web"}


@given(st.text(max_size=300))
def test_any_text_is_answered_without_an_exception(text: str) -> None:
    parse_manifest(text)


_WORDS = st.sampled_from(["applications", "instances", "ssh", "tags", "instanceName", "x-y", "use", "web-[1:3]", "a"])
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(_TREES)
def test_any_tree_is_answered_without_an_exception(tree: object) -> None:
    import yaml

    parse_manifest(yaml.safe_dump(tree))


@given(st.integers(0, 2000), st.integers(0, 300), st.integers(1, 5))
def test_a_range_has_each_number_once_padded_to_its_beginning(first: int, more: int, width: int) -> None:
    names = expand(f"web-[{first:0{width}d}:{first + more}]")
    assert [int(name.removeprefix("web-")) for name in names] == list(range(first, first + more + 1))
    assert all(len(name) >= len("web-") + width for name in names)


# ── several files ──


def test_files_of_one_owner_share_an_application_and_nothing_else() -> None:
    one = read("owner: a\napplications: [{applicationName: shop}]\ninstances: [{instanceName: w1}]", "one.yaml")
    two = read("owner: a\ninstances: [{instanceName: w1}]\napplications: [{applicationName: shop}]", "two.yaml")
    (problem,) = merge([one, two]).problems
    assert (problem.file, problem.line, problem.key) == ("two.yaml", 2, "instances[0].instanceName")
    assert problem.rule == "instance w1 is declared twice (first: one.yaml line 3)"


def test_names_that_nobody_declared_are_told_with_the_near_ones() -> None:
    manifest = read(
        "applications: [{applicationName: a, deploymentGroups: [{deploymentGroupName: g,"
        " deploymentConfigName: three-quarter, autoScalingGroups: [x]}]}]\n"
        "instances: [{instanceName: w1, ssh: {use: dc2}}, {instanceName: w2, ssh: {use: default}}]"
    )
    found = [str(problem) for problem in unknown_references(manifest, ["config/three-quarters", "ssh/dc1"])]
    assert [text.partition(": ")[2] for text in found] == [
        "no deployment configuration three-quarter. Did you mean three-quarters?",
        "no ssh settings named dc2. Did you mean dc1?",
    ]
    assert unknown_references(manifest, ["config/three-quarter", "ssh/dc2"]) == []


# ── changes ──

TWO = "owner: o\ninstances: [{instanceName: 'w[1:2]', zone: a, tags: {role: web}}]"


def test_what_is_declared_already_changes_nothing() -> None:
    manifest = read((FOLDER / "everything.yaml").read_text())
    changes = diff(manifest.records, existing(manifest), manifest.owners, prune=True)
    assert changes.changes == ()
    assert changes.unchanged == len(manifest.records)


def test_a_change_is_told_by_field() -> None:
    before = existing(read(TWO))
    after = read("owner: o\ninstances: [{instanceName: w1, zone: b, tags: {role: db, tier: x}}]")
    (change,) = diff(after.records, before).changes
    assert (change.sign, change.key, change.version) == ("~", "instance/w1", before["instance/w1"].version)
    assert change.fields == ("zone: a → b", "tags.role: web → db", "tags.tier: x")


def test_absent_never_means_delete_and_prune_takes_only_the_owners() -> None:
    before = existing(read(TWO)) | existing(read("owner: p\ninstances: [{instanceName: other}]"))
    after = read("owner: o\ninstances: [{instanceName: w1, zone: a, tags: {role: web}}]")
    assert diff(after.records, before, after.owners).changes == ()
    pruned = diff(after.records, before, after.owners, prune=True)
    assert [(change.sign, change.key) for change in pruned.changes] == [("-", "instance/w2")]


def test_prune_keeps_what_somebody_elses_records_need() -> None:
    before = existing(
        read(
            "owner: o\ndeploymentConfigs:\n"
            "- {deploymentConfigName: c, minimumHealthyHosts: {type: HOST_COUNT, value: 1}}"
        )
    ) | existing(
        read(
            "owner: p\napplications: [{applicationName: a, deploymentGroups: [{deploymentGroupName: g,"
            " deploymentConfigName: c, autoScalingGroups: [x]}]}]"
        )
    )
    changes = diff({}, before, {"o"}, prune=True)
    assert changes.changes == ()
    assert changes.notes == ("config c stays: group a/g needs it",)


def test_a_groups_id_is_kept_once_it_was_given() -> None:
    group = "{{deploymentGroupName: g, {} autoScalingGroups: [x]}}"
    shape = f"applications: [{{{{applicationName: a, deploymentGroups: [{group}]}}}}]"
    before = existing(read(shape.format("deploymentGroupId: 11111111-aaaa-bbbb-cccc-222222222222,")))
    assert diff(read(shape.format("")).records, before).changes == ()


def test_a_new_group_has_not_the_id_that_a_renamed_one_keeps() -> None:
    declared = read("applications: [{applicationName: a, deploymentGroups: [{deploymentGroupName: g}]}]").records
    first = diff(declared, {}).after["group/a/g"]
    renamed = Record("group/a/renamed", 1, first | {"deploymentGroupName": "renamed"})
    second = diff(declared, {renamed.key: renamed}).after["group/a/g"]
    assert second["deploymentGroupId"] != first["deploymentGroupId"]
    again = diff(declared, {renamed.key: renamed, "group/a/g": Record("group/a/g", 2, second)})
    assert again.changes[0].sign == "+" and "group/a/g" not in [change.key for change in again.changes]


def test_an_instance_that_changes_its_tags_moves_between_groups() -> None:
    groups = (
        "applications: [{applicationName: a, deploymentGroups: ["
        "{deploymentGroupName: web, onPremisesInstanceTagFilters: [{Key: role, Value: web}]},"
        "{deploymentGroupName: db, onPremisesInstanceTagFilters: [{Key: role, Value: db}]},"
        "{deploymentGroupName: rest, onPremisesInstanceTagFilters: [{Key: other, Type: KEY_ONLY}]}]}]\n"
    )
    before = existing(read(groups + "instances: [{instanceName: 'w[1:3]', tags: {role: web}}]"))
    changes = diff(read("instances: [{instanceName: w2, tags: {role: db}}]").records, before)
    db, web = memberships(changes, before)
    assert (db.group, db.members, db.gained, db.lost) == ("a/db", ("w2",), ("w2",), ())
    assert (web.group, web.members, web.gained, web.lost) == ("a/web", ("w1", "w3"), (), ("w2",))


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xyz")), st.sampled_from([True, False]))
def test_applying_a_plan_leaves_nothing_to_do(zones: dict[str, str], prune: bool) -> None:
    before = existing(read("owner: o\ninstances: [{instanceName: '[a:d]', zone: y}]"))
    items = ", ".join(f"{{instanceName: {name}, zone: {zone}}}" for name, zone in zones.items())
    after = read(f"owner: o\ninstances: [{items}]")
    changes = diff(after.records, before, after.owners, prune=prune)
    now = {key: Record(key=key, version=1, value=value) for key, value in changes.after.items()}
    assert diff(after.records, now, after.owners, prune=prune).changes == ()
    assert set(now) >= set(after.records)
    assert prune or set(now) >= set(before)


def test_long_lists_of_names_are_drawn_together() -> None:
    assert shortened([f"web-{number:03d}" for number in range(1, 121)]) == "web-[001:120]"
    assert shortened(["a1", "a2", "b"]) == "a1, a2, b"
    assert shortened([f"w{number}" for number in range(0, 60, 2)]).endswith("w22 … (30 in all)")


def test_unknown_ssh_settings_are_told_once_where_they_are_named() -> None:
    text = (
        "ssh: {dc1: {username: u}}\n"
        "instances:\n  - instanceName: 'web-[01:09]'\n    ssh:\n      use: dc2\n"
        "ec2:\n  - region: eu-west-1\n    ssh: {use: dc3}\n"
    )
    assert [str(problem) for problem in unknown_references(merge([read(text)]), ())] == [
        "towline.yaml line 5, instances[0].ssh.use: no ssh settings named dc2. Did you mean dc1?",
        "towline.yaml line 8, ec2[0].ssh.use: no ssh settings named dc3. Did you mean dc1?",
    ]


def test_an_unknown_configuration_is_told_at_its_own_line_with_what_was_meant() -> None:
    text = (
        "applications:\n  - applicationName: shop\n    deploymentGroups:\n      - deploymentGroupName: web\n"
        "        where: {a: b}\n        deploymentConfigName: AllAtOnce\n"
    )
    (problem,) = unknown_references(merge([read(text)]), ())
    assert str(problem) == (
        "towline.yaml line 6, applications[0].deploymentGroups[0].deploymentConfigName: no deployment configuration "
        "AllAtOnce. Did you mean CodeDeployDefault.AllAtOnce?"
    )
