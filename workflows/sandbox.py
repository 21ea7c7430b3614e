"""The sandbox that workflows run in, which refuses what would not replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from temporalio import converter
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

if TYPE_CHECKING:
    from temporalio.bridge.proto.workflow_activation import WorkflowActivation
    from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
    from temporalio.converter import StorageDriverStoreContext
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
        return converter.StorageDriverStoreContext()

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


# What an instance must be able to do is no promise of the SDK, and has grown with its releases. Where it asks for more
# than was known here, its own runner is used: slower, and right.
_KNOWS_THE_SDK = not _WithoutContext.__abstractmethods__ and hasattr(converter, "StorageDriverStoreContext")

SANDBOX = (Sandbox if _KNOWS_THE_SDK else SandboxedWorkflowRunner)(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "towline", "pydantic", "pydantic_core", "annotated_types"
    )
)
