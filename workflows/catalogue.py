"""Catalogue: one of the four workflows that keep what exists. Everything that it decides is in `model/catalogue.py`."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.catalogue.table import (
        Batch,
        BatchAnswer,
        CatalogueState,
        Keys,
        Page,
        PageRequest,
        Table,
        TableFull,
    )

from workflows.temporal_helpers import history_is_long, shield_from_cancel


@workflow.defn(name=names.CATALOGUE)
class Catalogue:
    """Records with versions, written by updates and read by queries; never ends, ignores native cancel."""

    @workflow.init
    def __init__(self, state: CatalogueState) -> None:
        self._table = Table(state)

    @workflow.run
    async def run(self, state: CatalogueState) -> None:
        """Lives until its history is long, then goes on as a new run with the same table; ignores Temporal's cancel."""
        await shield_from_cancel(self._until_history_is_long(), _note_cancel)

    async def _until_history_is_long(self) -> None:
        await workflow.wait_condition(lambda: history_is_long() and workflow.all_handlers_finished())
        workflow.continue_as_new(self._table.state())

    @workflow.update
    def write(self, batch: Batch) -> BatchAnswer:
        """Makes all changes of the batch, or none and says which records have another version."""
        try:
            return self._table.apply(batch, workflow.now().isoformat(timespec="seconds"))
        except TableFull as error:
            raise ApplicationError(str(error), type="CatalogueFull", non_retryable=True) from error

    @workflow.query
    def page(self, request: PageRequest) -> Page:
        """Records of some kinds, in order of their keys."""
        return self._table.page(request)

    @workflow.query
    def read(self, keys: Keys) -> Page:
        """Single records."""
        return self._table.read(keys)

    @workflow.query
    def state(self) -> CatalogueState:
        """The whole table, packed: with it a terminated part is started again."""
        return self._table.state()


def _note_cancel() -> None:
    workflow.logger.warning("cancel request ignored: this workflow keeps towline's records")
