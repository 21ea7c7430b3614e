"""The sandbox that workflows run in, which refuses what would not replay."""

from __future__ import annotations

from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info


class Sandbox(SandboxedWorkflowRunner):
    """Temporal's sandbox, whose instances answer by themselves in which context a payload is converted: in none.

    No converter of ours asks. The SDK wants to know several times for each payload, and compiles and runs a question in
    the sandbox each time, which took a third of a worker's time in Python.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """See WorkflowRunner."""
        return _WithoutContext(super().create_instance(det))


class _WithoutContext(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._inner.activate(act)

    def get_serialization_context(self, command_info: Any) -> None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext()

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


SANDBOX = Sandbox(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "towline", "pydantic", "pydantic_core", "annotated_types"
    )
)
