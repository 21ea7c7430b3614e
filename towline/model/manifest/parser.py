"""Parses towline.yaml into the catalogue's records, or problems with file, line, key and rule. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from towline.model.fleet.ranges import expand, with_name
from towline.model.fleet.targets import DEFAULT_SETTINGS
from towline.model.group.config import DEFAULT_CONFIG, PREDEFINED
from towline.model.group.group import Application
from towline.model.group.unsupported import APPLICATION, CONFIG, GROUP, INSTANCE, take_out
from towline.model.manifest.finding import Finding
from towline.model.manifest.rules import (
    config_findings,
    ec2_findings,
    group_findings,
    instance_findings,
    settings_findings,
)
from towline.model.manifest.shape import ManifestInstance, ManifestShape
from towline.model.problem import Problem, Severity, did_you_mean
from towline.model.shape_problems import shape_problems
from towline.model.yaml.document import Document, Location, parse_yaml, spell

FREE_KEYS = ("tags", "where")  # below these, keys are the user's: `x-` and null are not special


class FileProblem(Problem):
    """A problem in one of several files."""

    file: str = ""

    def __str__(self) -> str:
        return f"{self.file} {super().__str__()}" if self.file else super().__str__()


@dataclass(frozen=True)
class DeclarationPlace:
    """The place of a declaration."""

    file: str
    line: int
    key: str

    def problem(self, rule: str, hint: str = "", severity: Severity = Severity.ERROR) -> FileProblem:
        """A problem at this place."""
        return FileProblem(file=self.file, line=self.line, key=self.key, rule=rule, hint=hint, severity=severity)


@dataclass
class Manifest:
    """The declarations of one or more files: records by catalogue key, as plain JSON."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, DeclarationPlace] = field(default_factory=dict)
    reference_places: dict[str, DeclarationPlace] = field(default_factory=dict)  # of deploymentConfigName and ssh.use
    owners: set[str] = field(default_factory=set)
    problems: list[FileProblem] = field(default_factory=list)

    @property
    def errors(self) -> list[FileProblem]:
        """The problems that make it unusable; the others are warnings."""
        return [problem for problem in self.problems if problem.severity is Severity.ERROR]


def parse_manifest(text: str, *, file: str = "", folder: str = "/", host: str = "") -> Manifest:
    """Parses one file; never raises.

    A relative `local.root` is relative to `folder`, the file's directory; a local instance without `host` is on `host`,
    the machine that runs `apply`.
    """
    document = parse_yaml(text)
    problems = list(document.problems)
    manifest = Manifest()
    if not problems:
        if not isinstance(document.value, dict):
            problems.append(Problem(line=1, key="", rule="towline.yaml is a mapping, such as `applications: […]`"))
        else:
            shape, problems = _check_shape(document)
            if shape is not None:
                _fill(manifest, shape, document, file, folder, host)
                for finding in _findings(shape, document):
                    line = document.line(finding.at)
                    problems.append(
                        Problem(
                            line=line,
                            key=spell(finding.at),
                            rule=finding.rule,
                            hint=finding.hint,
                            severity=finding.severity,
                        )
                    )
    found = [FileProblem(file=file, **problem.model_dump()) for problem in problems]
    manifest.problems = sorted([*manifest.problems, *found], key=lambda problem: problem.line)
    return manifest


def merge(manifests: Sequence[Manifest]) -> Manifest:
    """Merges several files. Files of one owner may share an application; everything else is declared once."""
    merged = Manifest()
    for manifest in manifests:
        merged.problems.extend(manifest.problems)
        merged.owners |= manifest.owners
        for key, value in manifest.records.items():
            place = manifest.places[key]
            if key not in merged.records:
                merged.records[key] = value
                merged.places[key] = place
                if key in manifest.reference_places:
                    merged.reference_places[key] = manifest.reference_places[key]
            elif not (key.startswith("application/") and merged.records[key] == value):
                merged.problems.append(_declared_twice(place, key, merged.places[key]))
    return merged


def unknown_references(manifest: Manifest, existing: Iterable[str]) -> list[FileProblem]:
    """Problems of names that neither the manifest nor the catalogue (`existing` keys) has: configurations, settings."""
    keys = {*manifest.records, *existing}
    configs = [*PREDEFINED, *(key.partition("/")[2] for key in keys if key.startswith("config/"))]
    settings = [DEFAULT_SETTINGS, *(key.partition("/")[2] for key in keys if key.startswith("ssh/"))]
    problems: dict[FileProblem, None] = {}  # a range of instances has one place: report its problem once
    for key, value in manifest.records.items():
        config, use = value.get("deploymentConfigName"), value.get("use") or value.get("ssh", {}).get("use")
        place = manifest.reference_places.get(key, manifest.places[key])
        if key.startswith("group/") and config not in configs:
            rule = f"no deployment configuration {config}"
            problems[place.problem(rule, did_you_mean(str(config), configs))] = None
        if use is not None and use not in settings:
            problems[place.problem(f"no ssh settings named {use}", did_you_mean(use, settings))] = None
    return list(problems)


# ── shape ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_shape(document: Document) -> tuple[ManifestShape | None, list[Problem]]:
    raw = _tidied(document.value)
    problems = _prepare(raw, document)
    try:
        return ManifestShape.model_validate(raw, extra="forbid", by_alias=True, by_name=False), problems
    except ValidationError as error:
        document.value = raw
        return None, [*problems, *shape_problems(error, ManifestShape, document)]


def _tidied(value: Any, key: str = "") -> Any:
    """A copy without `x-` keys and null values."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if isinstance(value, dict) and key not in FREE_KEYS:
        return {
            name: _tidied(item, str(name))
            for name, item in value.items()
            if item is not None and not str(name).startswith("x-")
        }
    return value


def _prepare(raw: dict[str, Any], document: Document) -> list[Problem]:
    """Normalizes the output of CodeDeploy's tools: unsupported members, and tags as a list of Key and Value."""
    problems: list[Problem] = []
    line = document.line
    for at, application in _mappings(raw, ("applications",)):
        problems += take_out(application, APPLICATION, at, line) + _reject_owner(application, at, line)
        for place, group in _mappings(application, (*at, "deploymentGroups"), "deploymentGroups"):
            problems += take_out(group, GROUP, place, line) + _reject_owner(group, place, line)
            group.setdefault("applicationName", application.get("applicationName"))
            if not group.get("deploymentConfigName"):
                group["deploymentConfigName"] = DEFAULT_CONFIG
            if group.get("blueGreenDeploymentConfiguration") == {}:
                del group["blueGreenDeploymentConfiguration"]
            scaling = group.get("autoScalingGroups")
            if isinstance(scaling, list):
                group["autoScalingGroups"] = [one.get("name") if isinstance(one, dict) else one for one in scaling]
    for at, config in _mappings(raw, ("deploymentConfigs",)):
        problems += take_out(config, CONFIG, at, line) + _reject_owner(config, at, line)
    for at, instance in _mappings(raw, ("instances",)):
        problems += take_out(instance, INSTANCE, at, line)
        problems += _tags_as_mapping(instance, at, line)
    return problems


def _mappings(raw: dict[str, Any], at: Location, key: str = "") -> Iterator[tuple[Location, dict[str, Any]]]:
    items = raw.get(key or str(at[-1]))
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield (*at, index), item


def _reject_owner(raw: dict[str, Any], at: Location, line: Callable[[Location], int]) -> list[Problem]:
    if "owner" not in raw:
        return []
    del raw["owner"]
    place = (*at, "owner")
    return [Problem(line=line(place), key=spell(place), rule="owner is only allowed at the top of the file")]


def _tags_as_mapping(raw: dict[str, Any], at: Location, line: Callable[[Location], int]) -> list[Problem]:
    tags = raw.get("tags")
    if not isinstance(tags, list):
        return []
    place = (*at, "tags")
    raw["tags"] = {}
    for index, tag in enumerate(tags):
        if not isinstance(tag, dict) or set(tag) - {"Key", "Value"} or "Key" not in tag:
            where = (*place, index)
            return [Problem(line=line(where), key=spell(where), rule="a tag is {Key: …, Value: …}")]
        if tag["Key"] in raw["tags"]:
            where = (*place, index)
            return [Problem(line=line(where), key=spell(where), rule=f"tag {tag['Key']} is there twice")]
        raw["tags"][tag["Key"]] = tag.get("Value", "")
    return []


# ── rules and records ────────────────────────────────────────────────────────────────────────────────────────────


def _findings(shape: ManifestShape, document: Document) -> Iterator[Finding]:
    for number, application in enumerate(shape.applications):
        for index, group in enumerate(application.deployment_groups):
            at = ("applications", number, "deploymentGroups", index)
            yield from group_findings(group, application.application_name, at)
    for number, config in enumerate(shape.deployment_configs):
        yield from config_findings(config, ("deploymentConfigs", number))
    yield from settings_findings(shape.ssh.items(), ("ssh",))
    for number, instance in enumerate(shape.instances):
        yield from instance_findings(instance, ("instances", number))
    for number, source in enumerate(shape.ec2):
        yield from ec2_findings(source, ("ec2", number))


def _fill(manifest: Manifest, shape: ManifestShape, document: Document, file: str, folder: str, host: str) -> None:
    """Adds the records and their places to the manifest; a duplicate is a problem."""
    owner = {"owner": shape.owner} if shape.owner else {}
    if shape.owner:
        manifest.owners.add(shape.owner)

    def put(key: str, value: dict[str, Any], place: DeclarationPlace) -> None:
        if key in manifest.records:
            manifest.problems.append(_declared_twice(place, key, manifest.places[key]))
        else:
            manifest.records[key], manifest.places[key] = {**value, **owner}, place

    def place_of(*at: str | int) -> DeclarationPlace:
        return DeclarationPlace(file, document.line(at), spell(at))

    for number, application in enumerate(shape.applications):
        name = application.application_name
        value = _plain(Application(application_name=name))
        put(f"application/{name}", value, place_of("applications", number, "applicationName"))
        for index, group in enumerate(application.deployment_groups):
            at = ("applications", number, "deploymentGroups", index)
            value = _plain(group) | {"deploymentConfigName": group.deployment_config_name}
            if "deployment_group_id" not in group.model_fields_set:
                del value["deploymentGroupId"]  # an existing group keeps its id: see `changes.diff`
            key = f"group/{name}/{group.deployment_group_name}"
            put(key, value, place_of(*at, "deploymentGroupName"))
            manifest.reference_places.setdefault(key, place_of(*at, "deploymentConfigName"))
    for number, config in enumerate(shape.deployment_configs):
        place = place_of("deploymentConfigs", number, "deploymentConfigName")
        put(f"config/{config.deployment_config_name}", _plain(config), place)
    for name, settings in shape.ssh.items():
        put(f"ssh/{name}", _plain(settings), place_of("ssh", name))
    for number, instance in enumerate(shape.instances):
        place, use_place = place_of("instances", number, "instanceName"), place_of("instances", number, "ssh", "use")
        for key, value in _instance_records(instance, folder, host):
            put(key, value, place)
            if "use" in value:
                manifest.reference_places.setdefault(key, use_place)
    for number, source in enumerate(shape.ec2):
        put(f"ec2/{source.region}", _plain(source), place_of("ec2", number, "region"))
        manifest.reference_places.setdefault(f"ec2/{source.region}", place_of("ec2", number, "ssh", "use"))


def _instance_records(instance: ManifestInstance, folder: str, host: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """One record per name of the range; shared values are built once, since ranges may have 10,000 names."""
    common = _plain(instance)
    ssh = common.pop("ssh", {})
    use = {"use": ssh.pop("use")} if "use" in ssh else {}
    local = common.pop("local", None)
    if local is not None:
        local = {"host": host, **local, "root": posixpath.normpath(posixpath.join(folder, local["root"]))}
        common["local"] = {key: value for key, value in local.items() if value}
    elif ssh:
        common["ssh"] = ssh
    try:
        names = expand(instance.instance_name)
    except ValueError:
        return  # reported by instance_findings
    templated: dict[str, Any] = {key: common.pop(key) for key in ("ssh", "local") if key in common}
    for name in names:
        yield f"instance/{name}", {**common, "instanceName": name, **with_name(templated, name), **use}


def _plain(model: BaseModel) -> dict[str, Any]:
    value: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return value


def _declared_twice(place: DeclarationPlace, key: str, first: DeclarationPlace) -> FileProblem:
    kind, _, name = key.partition("/")
    where = f"line {first.line}" if first.file == place.file else f"{first.file} line {first.line}"
    return place.problem(f"{kind} {name} is declared twice (first: {where})", "Keep one of them.")
