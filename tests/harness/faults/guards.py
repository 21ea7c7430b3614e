"""Takes the guard of each promise out, one at a time, and sees its test fail.

    python -m tests.harness.faults.guards [NAME…]

A promise whose test passes without its guard is not proven. Each guard is named by the lines that are changed in a
copy of the project; `test_guards.py` sees to it that those lines are still there. What came of it stands in
docs/promises.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness import ROOT

KEPT = ("towline", "workflows", "activities", "tests", "worker.py", "pyproject.toml", "docs", "deploy", "examples")


@dataclass(frozen=True)
class Guard:
    """Some lines that keep a promise, what stands there without them, and the test that must fail then."""

    name: str
    promise: int
    file: str
    lines: str
    without: str
    test: str


HOSTS, WORKERS = "tests/faults/test_hosts.py", "tests/faults/test_workers.py"
STORY, ROLLOUT = "tests/workflows/test_deployment.py", "tests/model/rollout/test_leases.py"
OPERATOR, OPERATOR_HOSTS = "tests/faults/test_operator.py", "tests/faults/test_operator_hosts.py"
VERSIONS = "tests/faults/test_versions.py"
NETWORK, TRANSFERS = "tests/faults/test_network.py", "tests/faults/test_transfers.py"
HOST_FAULTS, HOOKS = "tests/faults/test_host_faults.py", "tests/faults/test_hostile_hooks.py"
USERS, PROTECTED = "tests/host/test_hostile_users.py", "tests/host/test_protected_files.py"
INTERLEAVINGS, BURSTS = "tests/faults/test_interleavings.py", "tests/faults/test_bursts.py"
RUNNER = "towline/host/runner/"

GUARDS = (
    Guard(
        "journal-before-start",
        1,
        RUNNER + "connected.py",
        '                if not records.all and not self.order.get("started"):\n',
        "                if True:\n",
        f"{HOSTS}::test_a_runner_killed_in_the_middle_of_a_hook_is_interrupted_and_the_hook_ended",
    ),
    Guard(
        "lost-journal-is-interrupted",
        1,
        RUNNER + "connected.py",
        '                if not records.all and not self.order.get("started"):\n',
        "                if not records.all:\n",
        "tests/host/test_faults.py::test_a_start_that_is_known_and_has_no_journal_is_interrupted_for_good",
    ),
    Guard(
        "deployment-lock",
        1,
        RUNNER + "connected.py",
        '        lock = take(self.host.lock("deployment-" + self.id))\n        if lock is None:\n',
        "        lock = Lock()\n        if lock is None:\n",
        "tests/host/test_faults.py::test_many_attempts_at_once_run_it_once",
    ),
    Guard(
        "gate",
        1,
        RUNNER + "script.py",
        "            if not os.read(gate, 1):\n                os._exit(126)\n",
        "",
        "tests/host/test_faults.py::test_a_script_whose_runner_dies_at_the_gate_never_starts",
    ),
    Guard(
        "dead-runners-hook-is-ended",
        1,
        RUNNER + "recovery.py",
        "            end_open_script(records, host)\n            if deployment == own",
        "            if deployment == own",
        f"{HOSTS}::test_a_runner_killed_in_the_middle_of_a_hook_is_interrupted_and_the_hook_ended",
    ),
    Guard(
        "failed-keeps-its-slot",
        2,
        "towline/model/rollout/window.py",
        "        return len(self._in_flight) + (0 if self._tolerates_failures else self.failed)\n",
        "        return len(self._in_flight)\n",
        f"{ROLLOUT}::test_the_floor_holds_and_every_rollout_ends_with_the_right_status",
    ),
    Guard(
        "healthy-lease",
        2,
        "towline/model/rollout/window.py",
        "                if healthy <= 0:\n                    continue\n",
        "",
        f"{ROLLOUT}::test_an_order_that_no_rank_would_give_ends_too",
    ),
    Guard(
        "drain",
        2,
        "examples/haproxy/shop/appspec.yml",
        "    - {location: scripts/drain.sh, timeout: 60}\n",
        "",
        "tests/end_to_end/test_zero_downtime.py::test_a_rolling_deployment_fails_no_request",
    ),
    Guard(
        "impossible-rule",
        3,
        "towline/model/deployment/ending.py",
        "    if not is_rollback and is_impossible(rule, hosts):\n",
        "    if False:\n",
        f"{STORY}::test_impossible_health_rule_and_empty_group_touch_nothing",
    ),
    Guard(
        "revision-is-checked",
        3,
        "activities/revisions.py",
        "*lint_bundle(checked, bundle.listing)",
        "",
        "tests/activities/test_revisions.py::test_a_missing_hook_file_ends_it_and_a_typo_is_told",
    ),
    Guard(
        "only-touched-are-undone",
        4,
        "towline/model/deployment/rollback.py",
        "        instances=state.rollout.touched,\n",
        "        instances=tuple(member.name for member in state.rollout.members),\n",
        f"{STORY}::test_a_failure_is_rolled_back_on_touched_hosts_only_failed_first",
    ),
    Guard(
        "hosts-decide-what-to-undo",
        4,
        "activities/inventory.py",
        "        return (*(name for name, was_touched in recorded.items() if was_touched), *unrecorded)\n",
        "        return tuple(name for name, was_touched in recorded.items() if was_touched)\n",
        f"{HOSTS}::test_a_terminated_deployment_halts_and_can_still_be_rolled_back",
    ),
    Guard(
        "shield",
        5,
        "workflows/temporal_helpers.py",
        "            await asyncio.shield(task)\n",
        "            await task\n",
        f"{STORY}::test_temporals_own_cancel_only_sets_the_stop_flag",
    ),
    Guard(
        "stop-starts-nothing-more",
        5,
        "workflows/shard.py",
        "        if self._orders.paused or self._begins_nothing_more:\n            return []\n",
        "",
        f"{STORY}::test_pause_lets_those_in_flight_finish_and_resume_goes_on",
    ),
    Guard(
        "halt-at-the-boundary",
        5,
        "activities/instances.py",
        "        if details and details.cancel_requested:\n            follower.halt()\n            return\n",
        "        if details and details.cancel_requested:\n            return\n",
        f"{HOSTS}::test_a_plain_stop_lets_the_hook_end_and_nothing_more_begins",
    ),
    Guard(
        "given-up-is-not-terminated",
        5,
        "activities/instances.py",
        "        if details and details.not_found and await self._was_terminated():",
        "        if details and details.not_found:",
        f"{WORKERS}::test_a_worker_that_was_frozen_does_not_end_what_another_has_taken_over",
    ),
    Guard(
        "host-lock",
        6,
        RUNNER + "connected.py",
        "        while not lock.try_take():\n",
        "        while False:\n",
        f"{HOSTS}::test_two_groups_on_one_host_take_turns",
    ),
    Guard(
        "turn",
        6,
        "towline/model/group/queue.py",
        "        if self.active is None and not self.waiting and not self.held:\n",
        "        if True:\n",
        f"{HOSTS}::test_two_deployments_of_one_group_at_the_same_instant_go_one_after_the_other",
    ),
    Guard(
        "interrupted-is-no-success",
        7,
        RUNNER + "recovery.py",
        '        "outcome": "interrupted",\n        "failed_event": name,\n',
        '        "outcome": "succeeded",\n        "failed_event": name,\n',
        f"{HOSTS}::test_a_runner_killed_in_the_middle_of_a_hook_is_interrupted_and_the_hook_ended",
    ),
    Guard(
        "own-journal-has-an-end",
        7,
        RUNNER + "recovery.py",
        "    for deployment in filter(is_id, (named, own)):\n",
        "    for deployment in filter(is_id, (named,)):\n",
        f"{INTERLEAVINGS}::test_every_beginning_of_a_journal_is_taken_for_what_it_is",
    ),
    Guard(
        "report-when-temporal-forgets",
        8,
        "towline/deployments/reader.py",
        "        if view is None and (report := await self.report(deployment_id)):\n",
        "        if view is None and (report := None):\n",
        "tests/end_to_end/test_commands.py::test_what_temporal_has_forgotten_is_read_from_the_store",
    ),
    Guard(
        "last-look",
        8,
        "activities/group.py",
        "            if details and details.cancel_requested:\n",
        "            if False:\n",
        f"{HOSTS}::test_a_terminated_deployment_that_is_rolled_back_at_once_has_its_report_all_the_same",
    ),
    Guard(
        "unwritable-store",
        8,
        "worker.py",
        "    await asyncio.to_thread(check_store, store)\n",
        "",
        f"{WORKERS}::test_a_worker_whose_store_cannot_be_written_takes_no_work",
    ),
    Guard(
        "dead-deployment-leaves-the-queue",
        5,
        "towline/model/group/queue.py",
        '        state = self._without(end.deployment_id)\n        if end.status == "NOT_FOUND"',
        '        state = self\n        if end.status == "NOT_FOUND"',
        f"{HOSTS}::test_after_a_terminate_the_next_deployment_goes_on",
    ),
    Guard(
        "killed-reader-is-noticed",
        1,
        "workflows/options.py",
        "    heartbeat=HEARTBEAT_TIMEOUT,\n"
        "    retry=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5),\n",
        "    retry=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5),\n",
        f"{WORKERS}::test_a_worker_killed_while_it_reads_a_revision_holds_nobody_up",
    ),
    Guard(
        "takeover",
        1,
        "activities/sticky_reset.py",
        "            await self._takeover.take_over(info)\n",
        "            pass\n",
        f"{WORKERS}::test_a_worker_killed_in_the_middle_of_a_hook_is_followed_by_another",
    ),
    Guard(
        "slow-reads-beat",
        1,
        "activities/heartbeats.py",
        "        activity.heartbeat()\n",
        "",
        "tests/activities/test_heartbeats.py::test_an_activity_that_takes_longer_than_its_heartbeat_timeout_is_left_alone",
    ),
    Guard(
        "an-end-that-waits-is-an-end",
        1,
        "activities/completion_batching.py",
        "        with contextlib.suppress(asyncio.CancelledError):\n            await self._moment.wait()\n",
        "        await self._moment.wait()\n",
        "tests/activities/test_completion_batching.py::test_a_cancelled_end_is_told_as_an_end",
    ),
    Guard(
        "shard-of-the-run-before",
        1,
        "workflows/stage.py",
        "            except WorkflowAlreadyStartedError:\n",
        "            except ZeroDivisionError:\n",
        f"{HOSTS}::test_native_reset_of_the_deployment_runs_nothing_twice",
    ),
    Guard(
        "stop-ends-every-wait",
        5,
        "workflows/waits.py",
        "    await workflow.wait_condition(lambda: task.done() or state.stop is not None)\n",
        "    await workflow.wait_condition(lambda: task.done())\n",
        f"{OPERATOR}::test_every_act_at_every_phase",
    ),
    Guard(
        "verdict-stands",
        5,
        "towline/model/deployment/state.py",
        "        if self.status.is_final:\n            return\n        if self.stop:\n",
        "        if self.stop:\n",
        f"{OPERATOR}::test_every_act_at_every_phase",
    ),
    Guard(
        "next-version-is-read",
        1,
        "towline/model/base.py",
        "    model_config = ConfigDict(frozen=True, alias_generator=",
        '    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=',
        f"{VERSIONS}::test_a_worker_of_another_version_takes_a_rollout_over",
    ),
    Guard(
        "unusable-folder",
        3,
        "worker.py",
        '    await asyncio.to_thread(check_folder, settings.data_dir / "cache")\n',
        "",
        f"{VERSIONS}::test_a_worker_that_cannot_work_takes_no_work",
    ),
    Guard(
        "same-store",
        3,
        "worker.py",
        "    await check_same_store(client, store)\n",
        "",
        f"{VERSIONS}::test_a_worker_with_another_store_than_those_at_work_takes_no_work",
    ),
    Guard(
        "dead-shard-is-read",
        7,
        "activities/records.py",
        "            outcome = reports[name].outcome.outcome if name in reports else Outcome.INTERRUPTED\n",
        "            outcome = Outcome.INTERRUPTED\n",
        f"{OPERATOR_HOSTS}::test_a_shard_that_is_terminated_is_a_failure_of_those_in_flight_alone",
    ),
    Guard(
        "anothers-record-stays",
        8,
        "activities/records.py",
        "        self._records.check_is_new(deployment_id, record.run_id)\n",
        "",
        f"{OPERATOR_HOSTS}::test_an_id_that_plain_temporal_uses_again_touches_nothing",
    ),
    Guard(
        "cancelled-start-only-asks",
        5,
        "workflows/shard.py",
        "            outcome = await self._run_activity(member, only_ends=True)\n",
        "            outcome = await self._run_activity(member)\n",
        f"{BURSTS}::test_a_stop_between_the_decision_for_an_instance_and_its_start_begins_nothing",
    ),
    Guard(
        "only-its-own-takes-over",
        6,
        "workflows/phases/queue.py",
        '    return undo.deployment_id if undo and parent and parent.workflow_id == undo.deployment_id else ""\n',
        '    return undo.deployment_id if undo else ""\n',
        f"{OPERATOR}::test_an_undo_of_a_deployment_that_is_at_work_waits_for_its_end",
    ),
    Guard(
        "answers-before-a-new-run",
        6,
        "workflows/group.py",
        "        await workflow.wait_condition(workflow.all_handlers_finished)\n",
        "",
        f"{BURSTS}::test_fifty_join_while_the_group_goes_on_as_a_new_run",
    ),
    Guard(
        "ended-rollback-holds-the-queue",
        4,
        "towline/model/group/queue.py",
        "            state = state._with(held=_held_by(end.deployment_id, results[Outcome.NOT_RESTORED])"
        " or state.held)\n",
        "",
        f"{OPERATOR_HOSTS}::test_a_terminated_rollback_leaves_hosts_not_restored_and_can_be_asked_for_again",
    ),
    Guard(
        "held-means-held",
        4,
        "towline/model/group/queue.py",
        "        if self.active is None and not self.waiting and not self.held:\n",
        "        if self.active is None and not self.waiting:\n",
        "tests/model/group/test_queue.py::test_a_deployment_that_comes_while_the_queue_is_held_waits_until_it_is_released",
    ),
    Guard(
        "stalled-line-is-noticed",
        1,
        "towline/transports/ssh_hops.py",
        '        "keepalive_interval": KEEPALIVE_SECONDS,\n',
        "",
        f"{NETWORK}::test_each_host_with_a_trouble_of_its_own_ends_as_what_it_met",
    ),
    Guard(
        "unreachable-is-no-failure",
        7,
        "activities/runner_session.py",
        "            return self._failed(Outcome.UNREACHABLE, error, ",
        "            return self._failed(Outcome.FAILED, error, ",
        f"{NETWORK}::test_half_the_fleet_cut_off_during_a_rollout_is_not_restored_and_goes_first_when_it_is_back",
    ),
    Guard(
        "archive-is-what-was-checked",
        3,
        RUNNER + "preparation.py",
        '        if digest.hexdigest() != revision["sha256"]:\n',
        "        if False:\n",
        f"{TRANSFERS}::test_another_file_from_everywhere_touches_nothing",
    ),
    Guard(
        "halt-stays-out-of-archives",
        5,
        "towline/transports/process.py",
        "        async with self._sending:",
        "        if True:",
        f"{TRANSFERS}::test_a_stop_in_the_middle_of_a_transfer_waits_for_it_and_begins_nothing",
    ),
    Guard(
        "halt-behind-an-archive-is-heard",
        5,
        RUNNER + "wire.py",
        "            return [self.source, *select.select(others, [], [], 0)[0]]\n",
        "            seconds = 0\n",
        f"{TRANSFERS}::test_a_stop_in_the_middle_of_a_transfer_waits_for_it_and_begins_nothing",
    ),
    Guard(
        "slow-source-hears-a-stop",
        5,
        RUNNER + "preparation.py",
        '            if self.wire.wait(0) and "halt" in (self.wire.line(5) or {}):\n',
        "            if False:\n",
        f"{TRANSFERS}::test_a_stop_does_not_wait_for_a_slow_source",
    ),
    Guard(
        "stalled-source-is-no-full-disk",
        7,
        RUNNER + "preparation.py",
        "        except (OSError, ValueError) as error:  # URLError, timeouts",
        "        except ValueError as error:  # URLError, timeouts",
        f"{TRANSFERS}::test_a_source_that_breaks_off_is_replaced_by_the_connection",
    ),
    Guard(
        "refusal-behind-a-broken-pipe-is-read",
        7,
        "activities/runner_session.py",
        "        with contextlib.suppress(Unreachable):\n            await transport.send(answer.reply, answer.body)\n",
        "        await transport.send(answer.reply, answer.body)\n",
        f"{HOST_FAULTS}::test_an_archive_that_cannot_be_written_to_its_end_is_reported_as_that_and_not_as_unreachable",
    ),
    Guard(
        "undo-makes-room",
        4,
        RUNNER + "undo.py",
        "            if not make_room(self.host, self.order):\n",
        "            if True:\n",
        f"{HOST_FAULTS}::test_a_disk_that_fills_up_during_install_fails_it_and_undo_makes_room_for_what_ran_before",
    ),
    Guard(
        "journal-has-a-reserve",
        7,
        RUNNER + "journal.py",
        "                if error.errno not in FULL or not give_room(self.reserve):\n",
        "                if True:\n",
        f"{HOST_FAULTS}::test_a_hook_that_fills_the_disk_is_followed_to_its_end_and_the_journal_has_it",
    ),
    Guard(
        "reserve-keeps-inodes",
        7,
        RUNNER + "journal.py",
        "    for number in range(RESERVE_FILES):\n",
        "    for number in range(0):\n",
        f"{HOST_FAULTS}::test_a_hook_that_uses_up_the_inodes_can_be_stopped_and_the_journal_has_its_end",
    ),
    Guard(
        "starts-are-counted",
        7,
        RUNNER + "connected.py",
        "        if self.failed_starts >= STARTS:\n",
        "        if self.failed_starts >= 100:\n",
        "tests/host/test_faults.py::"
        "test_a_runner_that_is_killed_before_its_first_record_is_started_a_few_times_and_then_refused",
    ),
    Guard(
        "attached-callers-key-is-checked",
        1,
        RUNNER + "follower.py",
        "        check_key(self.records, self.order)\n",
        "",
        "tests/host/test_faults.py::test_one_host_under_two_names_tells_neither_the_other_ones_end",
    ),
    Guard(
        "resumptions-are-counted",
        7,
        RUNNER + "recovery.py",
        " and len(resumed) < RESUMPTIONS",
        " and len(resumed) < 100",
        "tests/host/test_faults.py::test_a_runner_that_keeps_dying_is_not_started_for_ever",
    ),
    Guard(
        "what-has-begun-counts-as-ended",
        1,
        RUNNER + "lifecycle.py",
        'events = [event for event in self.order["events"] if event not in ended]',
        'events = list(self.order["events"])',
        "tests/host/test_faults.py::test_a_stop_script_that_ends_the_runner_is_a_failed_one_where_that_is_ignored",
    ),
    Guard(
        "own-name",
        7,
        RUNNER + "main.py",
        "    take_own_name()\n",
        "",
        "tests/host/test_faults.py::test_no_pattern_that_a_stop_script_may_use_meets_the_runner",
    ),
    Guard(
        "full-log-ends-no-hook",
        7,
        RUNNER + "script_log.py",
        "                self.trouble = why(error)\n        self.poke()\n",
        "                raise\n        self.poke()\n",
        f"{HOST_FAULTS}::test_a_hook_that_fills_the_disk_is_followed_to_its_end_and_the_journal_has_it",
    ),
    Guard(
        "destination-can-be-written",
        3,
        RUNNER + "after_cleanup.py",
        '            need_writable(above.real, ("immutable", "append-only"))\n',
        "            pass\n",
        f"{HOST_FAULTS}::test_a_read_only_destination_fails_before_anything_old_is_removed",
    ),
    Guard(
        "file-that-appears-is-theirs",
        4,
        RUNNER + "installer.py",
        "            if replaces and stat_at(directory, name):\n",
        "            if stat_at(directory, name):\n",
        f"{HOST_FAULTS}::test_a_file_that_appears_between_check_and_copy_is_left_alone_now_and_later",
    ),
    Guard(
        "kept-scripts-are-checked",
        4,
        RUNNER + "hooks.py",
        '        reason = "" if archive == self.archive else why_not_trusted(self.host, archive, [script])\n',
        '        reason = ""\n',
        "tests/host/test_kept_archives.py::test_where_its_failure_is_ignored_it_is_left_out",
    ),
    Guard(
        "scripts-are-roots",
        6,
        RUNNER + "unpacking.py",
        "                mode &= ~WRITABLE_BY_OTHERS\n",
        "                os.fchown(fd, *(owner or (0, 0)))\n",
        "tests/host/test_hostile_users.py::"
        "test_scripts_lie_where_only_root_can_change_them_and_files_arrive_with_their_owner",
    ),
    Guard(
        "mounted-later-is-not-ours",
        4,
        RUNNER + "after_cleanup.py",
        "            if not self._leave_hidden(path):\n                self._doom(path)\n",
        "            self._doom(path)\n",
        f"{PROTECTED}::test_what_is_protected_is_left_alone_the_release_is_whole_and_the_plan_says_so",
    ),
    Guard(
        "protected-is-left",
        4,
        RUNNER + "after_cleanup.py",
        "        if reason:\n            self._leave(path, reason)\n            return\n        self.gone.add(here)\n",
        "        self.gone.add(here)\n",
        f"{PROTECTED}::test_a_new_version_of_what_is_protected_is_refused_before_anything_is_removed",
    ),
    Guard(
        "hosts-are-counted-not-names",
        2,
        "activities/members.py",
        "        targets, twice = once_each(targets)\n",
        "        twice: list[str] = []\n",
        "tests/activities/test_inventory.py::test_a_host_under_two_names_is_one_instance_with_a_warning",
    ),
    Guard(
        "changed-files-change-their-time",
        4,
        RUNNER + "file_times.py",
        "                chosen = newer(seen, old.st_mtime_ns // NANOSECONDS if old else 0)\n",
        "                pass\n",
        f"{USERS}::test_changed_content_never_arrives_with_the_time_of_the_old",
    ),
    Guard(
        "changed-files-are-not-older",
        4,
        RUNNER + "file_times.py",
        "        if given in seen or (old and new.st_mtime_ns < old.st_ctime_ns):\n",
        "        if given in seen:\n",
        "tests/host/test_installed_times.py::test_make_builds_what_has_changed",
    ),
    Guard(
        "a-failure-remembers-what-ran",
        4,
        "towline/model/group/queue.py",
        "        kept = before if outcome is Outcome.NOT_RESTORED else now",
        "        kept = before",
        "tests/model/group/test_queue.py::"
        "test_a_host_that_says_at_a_failure_that_it_runs_nothing_is_remembered_with_what_it_ran",
    ),
    Guard(
        "no-forged-line",
        4,
        RUNNER + "install_plan.py",
        '        if b"\\n" in encoded:\n',
        "        if False:\n",
        f"{USERS}::test_a_line_end_in_a_name_forges_no_line_of_the_clean_up_list",
    ),
    Guard(
        "only-what-we-made",
        4,
        RUNNER + "cleanup.py",
        "        elif line not in known:\n",
        "        elif False:\n",
        f"{USERS}::test_a_line_that_was_added_to_the_clean_up_list_is_ignored_and_said",
    ),
    Guard(
        "made-is-known-by-its-number",
        4,
        RUNNER + "installer.py",
        " or self.made.get(path, (info.st_dev, info.st_ino)) != (info.st_dev, info.st_ino):\n",
        ":\n",
        "tests/host/test_swapped_meanwhile.py::test_nothing_of_roots_changes_when_a_user_swaps",
    ),
    Guard(
        "copied-root-is-another-one",
        6,
        RUNNER + "recovery.py",
        '    if leader and not is_of_root(host, script["pid"]):\n        return\n',
        "",
        "tests/host/test_moved_root.py::test_a_script_that_runs_in_the_original_is_not_ended_for_its_copy",
    ),
    Guard(
        "stop-waits-for-no-login-shell",
        5,
        "activities/runner_session.py",
        "            if starting.done() or transport.has_order:\n",
        "            if True:\n",
        "tests/fleet/test_login_shell.py::test_a_stop_does_not_wait_for_a_shell_that_hangs",
    ),
    Guard(
        "no-link-of-another-user",
        4,
        RUNNER + "owned_path.py",
        "    if not is_ours(info.st_uid):\n        raise ForeignLink(path, info.st_uid)\n",
        "",
        "tests/host/test_hostile_users.py::test_clean_up_does_not_follow_a_directory_that_a_user_swapped_for_a_link",
    ),
    Guard(
        "limits-by-monotonic-time",
        5,
        RUNNER + "check.py",
        "import sys\nimport time\n",
        "import sys\nimport time\n\ntime.monotonic = lambda: time.time()\n",
        f"{HOST_FAULTS}::test_a_clock_that_is_two_hours_off_and_set_right_in_between_ends_nothing",
    ),
    Guard(
        "line-without-end-is-cut",
        7,
        RUNNER + "script.py",
        "        if rest and (not data or len(rest) > 1 << 20):\n",
        "        if rest and not data:\n",
        f"{HOOKS}::test_a_hook_that_prints_a_gigabyte_costs_the_runner_little",
    ),
)


@contextmanager
def without(guard: Guard) -> Iterator[Path]:
    """A copy of the project in which the guard's lines are out."""
    with tempfile.TemporaryDirectory(prefix="towline-guard-") as name:
        copy = Path(name)
        for part in KEPT:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, copy / part)
        file = copy / guard.file
        file.write_text(file.read_text().replace(guard.lines, guard.without, 1))
        yield copy


def try_without(guard: Guard) -> tuple[bool, str]:
    """Whether the test failed without the guard, and the line that tells why."""
    with without(guard) as copy:
        environ = os.environ | {"PYTHONPATH": str(copy)}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "--timeout=150", "-p", "no:cacheprovider", guard.test],
            cwd=copy, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
    reasons = [line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E ")]
    return done.returncode == 1, (reasons or done.stdout.strip().splitlines()[-1:] or [""])[0]


def main(wanted: list[str]) -> int:
    """The exit status: 1 where a test did not miss its guard."""
    unproven = 0
    for guard in GUARDS:
        if not wanted or guard.name in wanted:
            failed, reason = try_without(guard)
            unproven += not failed
            print(f"{guard.promise} {guard.name:36} {'failed' if failed else 'PASSED'}  {reason[:200]}", flush=True)
    return 1 if unproven else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
