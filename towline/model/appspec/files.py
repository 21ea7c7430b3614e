"""Parses the `files` of an AppSpec and its `file_exists_behavior`."""

from __future__ import annotations

from towline.model.appspec.fields import Kind, Place, read_entries, strict_text
from towline.model.appspec.paths import warn_of_place, warn_of_source, warn_of_web_root
from towline.model.appspec.plan import FileEntry, FileExistsBehavior
from towline.model.problem import did_you_mean
from towline.model.visible import quoted
from towline.model.yaml.psych import Entries, Scalar
from towline.model.yaml.quoting import yaml_text

_AT_THE_TOP = "It belongs at the top of the file, beside files"
_FILE = Kind(
    required=("source", "destination"),
    known=("source", "destination"),
    hints={
        "overwrite": "Use file_exists_behavior: OVERWRITE at the top level",
        **dict.fromkeys(("file_exists_behavior", "hooks", "permissions", "os", "version"), _AT_THE_TOP),
        **dict.fromkeys(("mode", "owner", "group", "runas"), "Use the permissions section"),
    },
    meant={
        **dict.fromkeys(("src", "from", "path", "file", "files", "location", "object"), "source"),
        **dict.fromkeys(("dest", "dst", "target", "to", "into", "directory"), "destination"),
    },
)
_BEHAVIORS: tuple[FileExistsBehavior, ...] = ("DISALLOW", "OVERWRITE", "RETAIN")


def read_files(section: Place) -> tuple[FileEntry, ...]:
    """The files of a plan; problems go to the section's findings."""
    entries: list[FileEntry] = []
    for item in read_entries(section, _FILE):
        if entry := _file_entry(item):
            section.found.keys[f"files[{len(entries)}]"] = item.key
            entries.append(entry)
        else:
            section.found.unread.add(section.key)
    return tuple(entries)


def _file_entry(item: Place) -> FileEntry | None:
    assert isinstance(item.node, Entries)
    reported = [meant for name in _FILE.required if (meant := _report_missing(item, name))]
    item.check_keys(_FILE.known, _FILE.hints, reported)
    places = [item.at(name) for name in _FILE.required]
    texts = [None if place.node is None else strict_text(place) for place in places]
    fine = (
        texts[0] is not None and warn_of_source(places[0], texts[0]),
        texts[1] is not None and warn_of_place(places[1], texts[1]),
    )
    if texts[0] is None or texts[1] is None or not all(fine):
        return None
    warn_of_web_root(places[1], texts[0], texts[1])
    return FileEntry(source=texts[0], destination=texts[1])


def _report_missing(item: Place, name: str) -> str:
    """Reports an entry without `name`; returns the key that was probably meant as it, if any."""
    place = item.at(name)
    if place.node is not None:
        return ""
    assert isinstance(item.node, Entries)
    meant = _FILE.meant_by(item.node, name)
    if not meant:
        place.error(f"a files entry without {name}", f"Each entry needs source and destination: write '{name}: …'")
        return ""
    value = item.node.entries[meant]
    written = yaml_text(value.text) if isinstance(value, Scalar) else "…"
    item.at(meant).error(f"a files entry without {name}", f"Write '{name}: {written}' in place of {quoted(meant)}")
    return meant


def read_behavior(place: Place) -> FileExistsBehavior | None:
    """The behavior for files that already exist; case-sensitive."""
    if place.node is None:
        return None
    written = place.node.text if isinstance(place.node, Scalar) else ""
    for behavior in _BEHAVIORS:
        if isinstance(place.node, Scalar) and place.node.value == behavior:
            return behavior
    hint = did_you_mean(written.strip(), _BEHAVIORS) or "Write one of the three; DISALLOW is the default"
    place.error(f"must be DISALLOW, OVERWRITE or RETAIN, not {quoted(written)}", hint)
    return None
