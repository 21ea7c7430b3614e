"""Python's signal module by its C half: the module adds only enums, and loading those takes as long as two hooks."""

try:
    import _signal as signal  # type: ignore[import-not-found]
except ImportError:
    import signal

__all__ = ["signal"]
