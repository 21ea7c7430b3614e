"""Catalogue: one of the two workflows that keep what exists. What it decides is in `model/catalogue/table.py`."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.catalogue.records import CatalogueState, Delta, Known, WriteAnswer, WriteRequest
    from towline.model.catalogue.table import Table

from workflows.temporal_helpers import history_is_long, shield_from_cancel


@workflow.defn(name=names.CATALOGUE)
class CatalogueWorkflow:
    """Records with versions, written by updates and read by queries; never ends, ignores native cancel."""

    @workflow.init
    def __init__(self, state: CatalogueState) -> None:
        # The chain of runs changes where the table was begun anew, or again after a termination: then versions that a
        # reader knows say nothing.
        self._table = Table(state, chain=workflow.info().first_execution_run_id)

    @workflow.run
    async def run(self, state: CatalogueState) -> None:
        """Lives until its history is long, then goes on as a new run with the same table; ignores Temporal's cancel."""
        await shield_from_cancel(self._until_history_is_long(), _note_cancel)

    async def _until_history_is_long(self) -> None:
        await workflow.wait_condition(lambda: history_is_long() and workflow.all_handlers_finished())
        workflow.continue_as_new(self._table.state())

    @workflow.update
    def write(self, request: WriteRequest) -> WriteAnswer:
        """Makes each batch, or says why nothing of it was done; a batch that is refused does not refuse the others."""
        now = workflow.now().isoformat(timespec="seconds")
        return WriteAnswer(answers=tuple(self._table.apply(batch, now) for batch in request.all))

    @workflow.query
    def since(self, known: Known) -> Delta:
        """What changed since a version."""
        return self._table.since(known)

    @workflow.query
    def state(self) -> CatalogueState:
        """The whole table, packed: with it a terminated one is started again."""
        return self._table.state()


def _note_cancel() -> None:
    workflow.logger.warning("cancel request ignored: this workflow keeps towline's records")
