"""An application's revisions: what registrations and deployments make of them, filtered and sorted."""

from __future__ import annotations

import json

import pytest

from towline.model.bundle.revision import RevisionLocation
from towline.model.catalogue.revisions import (
    Deployed,
    Registration,
    Registrations,
    Revision,
    SortBy,
    Use,
    Uses,
    identity,
    in_order,
    selected,
    with_uses,
)

V1, V2, V3 = (RevisionLocation.parse(f"s3://releases/shop/{n}.zip") for n in (1, 2, 3))
COMMIT = RevisionLocation.parse("github://acme/shop@1a2b3c4")


def registered(*entries: Registration) -> dict[str, Revision]:
    book = Registrations()
    for entry in entries:
        book.add(Registration.of_entry(json.loads(json.dumps(entry.as_entry()))))
    return book.by_application.get("shop", {})


def test_registering_again_changes_the_description_and_nothing_else() -> None:
    (one,) = registered(Registration("shop", V1, "first", 100.0), Registration("shop", V1, "second", 200.0)).values()
    assert (one.register_time, one.description) == (100.0, "second")


def test_applications_have_revisions_of_their_own() -> None:
    assert not registered(Registration("other", V1, "", 100.0))


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("s3://b/k.zip", "s3://b/k.zip", True),
        ('s3://b/k.zip?etag="1"', "s3://b/k.zip?etag=1", True),
        ("s3://b/k.zip?etag=1", "s3://b/k.zip?etag=2", False),
        ("s3://b/k.zip?versionId=1", "s3://b/k.zip", False),
        ("s3://b/k.zip", "s3://c/k.zip", False),
        ("github://o/r@a1", "github://o/r@a2", False),
    ],
)
def test_which_locations_are_one_revision(one: str, other: str, are_same: bool) -> None:
    assert (identity(RevisionLocation.parse(one)) == identity(RevisionLocation.parse(other))) is are_same


def test_a_deployment_registers_its_revision_and_dates_its_use() -> None:
    uses = [Use(V2, "d-2", "staging", 300.0), Use(V1, "d-1", "staging", 200.0), Use(V2, "d-3", "production", 400.0)]
    one, two = in_order(
        with_uses(registered(Registration("shop", V1, "pushed", 100.0)), Uses.of(uses)), SortBy.REGISTER_TIME
    )
    assert one == Revision(V1, 100.0, "pushed", 200.0, 200.0, ())
    text = "Application revision registered by Deployment ID: d-2"
    assert two == Revision(V2, 300.0, text, 300.0, 400.0, ("production", "staging"))


def test_filters_by_bucket_key_and_deployment() -> None:
    uses = [Use(V1, "d-1", "production", 200.0), Use(V2, "d-2", "production", 300.0), Use(COMMIT, "d-3", "qa", 400.0)]
    found = with_uses(registered(Registration("shop", V3, "", 100.0)), Uses.of(uses))
    assert {one.location for one in selected(found)} == {V1, V2, V3, COMMIT}
    assert {one.location for one in selected(found, bucket="releases")} == {V1, V2, V3}
    assert not selected(found, bucket="releases", key_prefix="other/")
    assert {one.location for one in selected(found, deployed=Deployed.INCLUDE)} == {V2, COMMIT}
    assert {one.location for one in selected(found, deployed=Deployed.EXCLUDE)} == {V1, V3}


def test_orders_by_each_time_with_unused_ones_first() -> None:
    uses = [Use(V2, "d-1", "a", 300.0), Use(V1, "d-2", "a", 400.0), Use(V2, "d-3", "a", 500.0)]
    found = with_uses(registered(Registration("shop", V3, "", 350.0)), Uses.of(uses))
    assert [one.location for one in in_order(found, SortBy.REGISTER_TIME)] == [V2, V3, V1]
    assert [one.location for one in in_order(found, SortBy.FIRST_USED)] == [V3, V2, V1]
    assert [one.location for one in in_order(found, SortBy.LAST_USED, descending=True)] == [V2, V1, V3]
