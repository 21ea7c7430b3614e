"""Parses the `hooks` of an AppSpec: the scripts of each lifecycle event, with user and timeout."""

from __future__ import annotations

import re

from towline.model.appspec.fields import Kind, Place, read_entries, ruby_text
from towline.model.appspec.paths import warn_of_text
from towline.model.appspec.plan import Script
from towline.model.deployment.lifecycle import HOOK_EVENTS
from towline.model.problem import did_you_mean
from towline.model.visible import quoted
from towline.model.yaml.psych import Entries, Scalar
from towline.model.yaml.quoting import yaml_text

EVENT_LIMIT_SECONDS = 3600
LONGEST_TIMEOUT_SECONDS = 366 * 24 * 3600
"""The maximum timeout in a plan: far longer than any event, and safe for a host's timers."""

_NEVER_RUN = ("Start", "BlockTraffic", "DownloadBundle", "Install", "AllowTraffic", "End")
_ALL_EVENTS = f"The events are {', '.join(HOOK_EVENTS)}"
_SCRIPT = Kind(
    required=("location",),
    known=("location", "timeout", "runas", "sudo"),
    hints={
        **dict.fromkeys(("args", "arguments"), "Scripts get no arguments"),
        **dict.fromkeys(("runAs", "run_as", "run-as", "user", "username"), "Did you mean runas?"),
        **dict.fromkeys(("timeoutSeconds", "timeout_seconds", "timeoutInSeconds"), "Did you mean timeout?"),
        "file_exists_behavior": "It belongs at the top of the file, beside hooks",
    },
    meant=dict.fromkeys(("script", "scripts", "command", "commands", "path", "file", "run", "exec"), "location"),
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?\s?([a-z]{0,12})\.?")
_UNIT = re.compile(r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?")
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2})")


def read_hooks(section: Place) -> dict[str, tuple[Script, ...]]:
    """The scripts of each event that the agent knows; warns of what it ignores and leaves it out."""
    if section.is_unset:
        return {}
    if not isinstance(section.node, Entries):
        if not section.is_alias:
            section.error("must be a map of lifecycle events", "Write the events as keys below it, without '- '")
        return {}
    hooks = {}
    for event in section.node.entries:
        place = section.at(event)
        if event in HOOK_EVENTS:
            if scripts := _scripts(place):
                hooks[event] = scripts
                _warn_of_event_timeout(place, scripts)
        else:
            _report_unknown(place, event)
    return hooks


def _report_unknown(place: Place, event: str) -> None:
    """Warns of an unknown event or one without hooks; the agent still fails on an error in its scripts."""
    _scripts(place)
    if event in _NEVER_RUN:
        place.warn("scripts of this event never run", f"Hooks run at {', '.join(HOOK_EVENTS)}")
    elif event != "<<":
        hint = did_you_mean(event.replace(" ", ""), HOOK_EVENTS) or _ALL_EVENTS
        place.warn("no such lifecycle event: its scripts never run", hint)


def _scripts(event: Place) -> tuple[Script, ...]:
    scripts: list[Script] = []
    for item in read_entries(event, _SCRIPT):
        if script := _script(item):
            event.found.keys[f"{event.key}[{len(scripts)}]"] = item.key
            scripts.append(script)
    return tuple(scripts)


def _script(item: Place) -> Script | None:
    assert isinstance(item.node, Entries)
    location = item.at("location")
    meant = ""
    path = ruby_text(location) if location.node is not None else ""
    if not path and not location.is_alias and (location.node is None or isinstance(location.node, Scalar)):
        meant = _SCRIPT.meant_by(item.node, "location")
        _report_missing(location, item, meant)
    item.check_keys(_SCRIPT.known, _SCRIPT.hints, (meant,))
    timeout = _timeout(item.at("timeout"))
    user = _runas(item.at("runas"))
    if not path or timeout is None or not warn_of_text(location, path):
        return None
    sudo = not item.at("sudo").is_unset  # any value but false is true, as in Ruby
    return Script(location=path, timeout=timeout, runas=user, sudo=sudo)


def _report_missing(location: Place, item: Place, meant: str) -> None:
    if meant:
        assert isinstance(item.node, Entries)
        value = item.node.entries[meant]
        written = yaml_text(value.text) if isinstance(value, Scalar) else "…"
        item.at(meant).error("a script without location", f"Write 'location: {written}' in place of {quoted(meant)}")
    else:
        location.error("a script without location", "Name the script's path in the bundle: 'location: scripts/….sh'")


def _runas(place: Place) -> str | None:
    if place.node is None:
        return None
    user = ruby_text(place)
    if not warn_of_text(place, user):
        return None
    name, colon, _ = user.partition(":")
    if colon and name:
        place.warn(f"{quoted(user)} is looked up as one user, ':' and all", f"Write 'runas: {yaml_text(name)}'")
    return user


def _timeout(place: Place) -> int | None:
    """Seconds by Ruby's to_i; None and an error if the agent refuses the value."""
    if place.is_unset:
        return EVENT_LIMIT_SECONDS
    if place.is_alias:
        return None
    value = place.node.value if isinstance(place.node, Scalar) else None
    written = place.node.text if isinstance(place.node, Scalar) else ""
    seconds = _to_i(value)
    hint = f"Write 'timeout: {meant_seconds(written) or 300}'"
    if seconds is None or seconds <= 0:
        what = quoted(written) if isinstance(place.node, Scalar) else "a list or a map"
        place.error(f"timeout must be a number of seconds above 0, not {what}", hint)
        return None
    if seconds > LONGEST_TIMEOUT_SECONDS:
        rule = f"{quoted(written)} is longer than anything lasts: a lifecycle event ends after {EVENT_LIMIT_SECONDS} s"
        place.warn(rule, f"Write 'timeout: {EVENT_LIMIT_SECONDS}'")
    elif str(seconds) != written.strip():
        place.warn(f"{quoted(written)} is read as {seconds} second{'s' if seconds > 1 else ''}", hint)
    return min(seconds, LONGEST_TIMEOUT_SECONDS)


def _to_i(value: object) -> int | None:
    """Ruby's to_i: the leading digits of a text, the integer part of a number; None for a type without to_i."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if abs(value) < float("inf") else None
    if isinstance(value, str):
        digits = re.match(r"\s*([+-]?\d+(?:_\d+)*)", value[:400], re.ASCII)
        return int(digits[1]) if digits else 0
    return None


def meant_seconds(written: str) -> int | None:
    """The seconds that were probably meant by a text; None if unclear.

    >>> [meant_seconds(text) for text in ("30m", "5 minutes", "1:30", "1:30:00", "010", "1h30m", "1.5", "soon", "1e3")]
    [1800, 300, 90, 5400, 10, 5400, 1, None, 1000]
    """
    text = written.strip().strip("\"'").lower().replace("_", "")[:40]
    if re.fullmatch(r"\+?\d+e\d", text, re.ASCII):
        total = float(text)
    elif clock := _CLOCK.fullmatch(text):
        total = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])
    else:
        parts = list(_DURATION.finditer(text.lstrip("+")))
        rest = _DURATION.sub("", text.lstrip("+")).strip(" ,")
        units = [part[3] or "s" for part in parts]
        numbers = [float(f"{part[1]}.{part[2] or 0}") for part in parts]
        if not parts or rest or not all(_UNIT.fullmatch(unit) for unit in units):
            return None
        total = sum(number * _UNITS[unit[0]] for number, unit in zip(numbers, units, strict=True))
    return max(1, int(total)) if 0 < total <= LONGEST_TIMEOUT_SECONDS else None


def _warn_of_event_timeout(event: Place, scripts: tuple[Script, ...]) -> None:
    """Warns if the explicit timeouts add up to too much; the default of 3600 s would trigger it too often."""
    written = [
        script.timeout
        for index, script in enumerate(scripts)
        if f"{event.found.keys[f'{event.key}[{index}]']}.timeout" in event.found.lines
    ]
    if sum(written) > EVENT_LIMIT_SECONDS:
        rule = f"the timeouts add up to {sum(written)} s; a lifecycle event ends after {EVENT_LIMIT_SECONDS} s"
        event.warn(rule, "Give the scripts shorter timeouts")
