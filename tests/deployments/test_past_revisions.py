"""Which past revision a text means."""

from __future__ import annotations

import pytest

from towline import errors
from towline.deployments.past_revisions import PastRevision, matching
from towline.model.bundle.revision import RevisionLocation, StoreLocation


def local(deployment_id: str, digest: str, name: str = "shop") -> PastRevision:
    store = StoreLocation(digest=digest * 8, bundle_type="tgz", name=name)
    return PastRevision(deployment_id, RevisionLocation(revision_type="Store", store_location=store), digest * 8)


PAST = [
    local("d-4", "aaaaaaaa"),
    local("d-3", "bbbbbbbb", "other.tgz"),
    PastRevision("d-20", RevisionLocation.parse("s3://b/shop.tgz?versionId=7"), "cccccccc" * 8),
    local("d-21", "dddddddd"),
    local("d-1", "aaaaaaaa"),
]

FOUND = [
    ("d-3", "d-3"),
    ("d-1", "d-1"),
    ("aaaaaaa", "d-4"),
    ("sha256:BBBBBBBB", "d-3"),
    ("c" * 64, "d-20"),
    ("s3://b/shop.tgz?versionId=7", "d-20"),
    ("shop (sha256 ddddddd)", "d-21"),
    ("other.tgz", "d-3"),
]


@pytest.mark.parametrize(("text", "deployment_id"), FOUND)
def test_ids_labels_names_and_digests(text: str, deployment_id: str) -> None:
    assert matching(text, PAST, "shop/web").deployment_id == deployment_id


@pytest.mark.parametrize("text", ["shop", "d-2"])
def test_what_means_several_revisions_is_refused_with_their_deployments(text: str) -> None:
    with pytest.raises(errors.Conflict, match=r"stands for 2 revisions: .*d-21"):
        matching(text, PAST, "shop/web")


@pytest.mark.parametrize("text", ["d-9", "aaaaaa", "eeeeeee", "nope", "d", ""])
def test_what_the_group_never_had_is_not_found(text: str) -> None:
    with pytest.raises(errors.NotFound, match="no deployment of shop/web had it"):
        matching(text, PAST, "shop/web")
