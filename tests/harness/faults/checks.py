"""What must hold when a rollout has been disturbed, by the instances' own files, their journals and the store.

Each check adds a sentence to the result for each thing that must not be.
"""

from __future__ import annotations

import collections
import itertools
from dataclasses import dataclass, field

from tests.harness.faults.instances import Instance
from tests.harness.faults.scene import Effect, Scene
from towline.errors import NotFound
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import instance_key, report_key
from towline.model.messages.instance import InstanceReport
from towline.model.messages.view import DeploymentView

Shape = tuple[tuple[str, ...], ...]


@dataclass
class Findings:
    """`wrong` has the sentences; the numbers are those of the table that ends a soak."""

    wrong: list[str] = field(default_factory=list)
    twice: int = 0
    unknown: int = 0
    floor: int = 0
    missing: int = 0

    def add(self, sentence: str) -> None:
        self.wrong.append(sentence)


@dataclass(frozen=True)
class Undisturbed:
    """How a rollout ends to which nothing is done: its status, and what ran on how many instances."""

    status: str
    shapes: collections.Counter[Shape]


def shape_of(scene: Scene, host: Instance) -> Shape:
    """The hooks that began on an instance, in order: those of the deployment, then those of each of its others."""
    runs = scene.runs_of(host)
    deployments = dict.fromkeys([scene.deployment_id, *(run.deployment for run in runs)])
    return tuple(tuple(run.event for run in runs if run.deployment == one) for one in deployments)


def undisturbed(scene: Scene, view: DeploymentView) -> Undisturbed:
    """What a rollout that nobody disturbed has shown."""
    return Undisturbed(view.info.status, collections.Counter(shape_of(scene, host) for host in scene.hosts))


def check_end(scene: Scene, view: DeploymentView, model: Undisturbed, slots: int, found: Findings) -> None:
    """The end is that of the undisturbed run, as far as the faults allow; and so is what ran on each instance."""
    exempt, status = scene.hurt | scene.lost, view.info.status
    failing = {host.name for host in scene.kind.fails_on(scene.hosts)}
    is_lost = len(exempt | failing) >= slots  # so many failed instances end any rollout
    allowed = (
        {model.status} | ({"Stopped"} if Effect.STOPS in scene.effect else set()) | ({"Failed"} if is_lost else set())
    )
    if status not in allowed:
        found.add(f"{status}, not {' or '.join(sorted(allowed))}: {view.info}")
    if Effect.STOPS not in scene.effect and not is_lost:
        shapes = collections.Counter(shape_of(scene, host) for host in scene.hosts if host.name not in exempt)
        for shape, count in (shapes - model.shapes).items():
            found.add(f"{count} instances more than undisturbed ran {shape}")
    if status != "Succeeded" and not view.progress.is_whole:
        if not set(view.progress.not_restored) <= exempt:
            found.add(f"not restored {view.progress.not_restored}, disturbed {sorted(exempt)}")
        elif not view.progress.not_restored and Effect.STOPS not in scene.effect:
            found.add("not whole, and every host was restored")


def check_installed(scene: Scene, version: str, found: Findings) -> None:
    """Every instance that was not hurt, and on which the revision did not fail, has this version's files."""
    failed = scene.kind.fails_on(scene.hosts) if version == scene.version else []
    exempt = scene.hurt | scene.lost | {host.name for host in failed}
    other = {host.name: host.installed for host in scene.hosts if host.installed != version and host.name not in exempt}
    if other:
        found.add(f"{version} was to be on every instance, but {other}")


def check_twice(scene: Scene, found: Findings) -> None:
    """No hook was started twice, whatever was done."""
    for (name, deployment, event), times in collections.Counter(
        (host.name, run.deployment, run.event) for host, run in scene.begun()
    ).items():
        if times > 1:
            found.twice += 1
            found.add(f"{name} ran {event} of {deployment} {times} times")


def check_records(scene: Scene, found: Findings) -> None:
    """Every instance that was touched has its record, and the deployment its report; each journal has its end."""
    touched = [host for host in scene.hosts if host.journal(scene.deployment_id)]
    for host in touched:
        if report := _report(scene, host.name, found):
            _check_outcome(scene, host, report.outcome.outcome, found)
        if not host.has_finished(scene.deployment_id) and host.name not in scene.lost:
            found.unknown += 1
            found.add(f"{host.name}: its journal has no end")


def check_reports(scene: Scene, found: Findings) -> None:
    """Every deployment that ran hooks has its report: rollbacks and what was ended from outside as well."""
    for deployment in dict.fromkeys(run.deployment for _, run in scene.begun()):
        _read(scene, report_key(deployment), found)


def _report(scene: Scene, name: str, found: Findings) -> InstanceReport | None:
    data = _read(scene, instance_key(scene.deployment_id, name), found)
    return InstanceReport.model_validate_json(data) if data else None


def _read(scene: Scene, key: str, found: Findings) -> bytes:
    try:
        return scene.site.store.get(key)
    except NotFound:
        found.missing += 1
        found.add(f"no record: {key}")
        return b""


def _check_outcome(scene: Scene, host: Instance, outcome: Outcome, found: Findings) -> None:
    """A record says what the instance's journal says; only what was out of reach is called unreachable."""
    said = host.journal(scene.deployment_id)[-1].get("outcome")
    if outcome is Outcome.UNREACHABLE:
        if host.name not in scene.lost:
            found.add(f"{host.name} is called unreachable")
    elif outcome != said:
        found.add(f"{host.name}: its record says {outcome}, its journal {said}")
    if said == "interrupted" and host.name not in scene.hurt | scene.lost and Effect.STOPS not in scene.effect:
        found.add(f"{host.name} is called interrupted, and nothing was done to it")


def check_hooks_ended(scene: Scene, found: Findings) -> None:
    """A hook whose runner was killed is interrupted, and no process of its group is left."""
    for host, run in scene.cut_short:
        said = (host.journal(run.deployment) or [{}])[-1].get("outcome")
        if said != "interrupted":
            found.add(f"{host.name}: {run.event} of {run.deployment} lost its runner, and its journal says {said}")
    for host, run in scene.begun():
        if host.name in scene.hurt and (left := host.group(run.pid)):
            found.add(f"{host.name}: of {run.event} of {run.deployment} {left} are alive")


def check_floor(scene: Scene, slots: int, found: Findings) -> None:
    """By the hosts' own journals: never more at work or failed at once than there are slots."""
    changes = []
    for host in scene.hosts:
        if records := host.journal(scene.deployment_id):
            changes.append((records[0]["time"], 1))
            if records[-1].get("outcome") == "succeeded":
                changes.append((records[-1]["time"], -1))
    most = max(itertools.accumulate((change for _, change in sorted(changes)), initial=0))
    if most > slots:
        found.floor += 1
        found.add(f"{most} of {len(scene.hosts)} instances out of service, {slots} allowed")
