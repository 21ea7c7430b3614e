"""Revisions as AWS's clients know them. A bundle in towline's store looks like S3, under a bucket name of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from towline.api.errors import ApiError
from towline.model.bundle.revision import RevisionLocation

STORE_BUCKET = "towline-store"
"""Reserved: an S3 location in this bucket is a bundle in towline's store, with its SHA-256 in the key."""


def revision_from(given: Mapping[str, Any]) -> RevisionLocation:
    """The location of a request. Raises ApiError (InvalidRevisionException)."""
    kind, s3 = given.get("revisionType", ""), _without_empty(given.get("s3Location") or {})
    if kind not in ("S3", "GitHub"):
        raise ApiError("InvalidRevisionException", "The revision type must be S3 or GitHub for the Server platform")
    if kind == "S3" and s3.get("bundleType") not in (None, "tar", "tgz", "zip"):
        raise ApiError("InvalidRevisionException", "BundleType must be either tar, zip or tgz")
    if kind == "S3" and s3.get("bucket") == STORE_BUCKET:
        given = {"revisionType": "Store", "storeLocation": _store_location(str(s3.get("key", "")))}
    locations = {name: _without_empty(given[name]) for name in _LOCATIONS if given.get(name)}
    try:
        return RevisionLocation.model_validate(
            {"revisionType": given["revisionType"]} | {name: inner for name, inner in locations.items() if inner}
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "revision"
        raise ApiError("InvalidRevisionException", f"{place}: {first['msg']}") from error


def revision_shown(given: Mapping[str, Any]) -> dict[str, Any]:
    """A view's revision in CodeDeploy's shape.

    >>> store = {"revisionType": "Store", "storeLocation": {"digest": "ab", "bundleType": "tgz", "name": "shop"}}
    >>> revision_shown(store)["s3Location"]["key"]
    'ab/shop.tgz'
    """
    if given.get("revisionType") != "Store":
        return dict(given)
    store = given["storeLocation"]
    key = f"{store['digest']}/{store.get('name') or 'bundle'}.{store['bundleType']}"
    return {
        "revisionType": "S3",
        "s3Location": {"bucket": STORE_BUCKET, "key": key, "bundleType": store["bundleType"]},
    }


def _without_empty(location: Mapping[str, Any]) -> dict[str, Any]:
    """Members that are given: a skeleton of the AWS CLI has all of them, with empty strings and some bundle type."""
    found = {name: value for name, value in location.items() if value}
    return {} if found.keys() <= {"bundleType"} else found


def _store_location(key: str) -> dict[str, str]:
    digest, _, name = key.partition("/")
    stem, _, kind = name.rpartition(".")
    return {"digest": digest, "bundleType": kind, "name": stem}


_LOCATIONS = ("s3Location", "gitHubLocation", "storeLocation")
