"""Tracebacks that name the runner's modules, not lines of the joined file."""

import sys

JOINED = ()  # filled in by the joiner: (first line in the joined file, module, line in that module), ascending


def place_of(line):
    """(module, line) behind a line of the joined file; ("runner", line) where it was not joined.

    >>> place_of(7)
    ('runner', 7)
    """
    found = ("runner", line)
    for start, module, first in JOINED:
        if start > line:
            break
        found = (module, line - start + first)
    return found


def traceback_text():
    """The exception that is being handled, as Python prints it."""
    import traceback

    kind, error, frames = sys.exc_info()
    lines = ["Traceback (most recent call last):\n"]
    for frame in traceback.extract_tb(frames):
        if JOINED and frame.filename == __file__:
            lines.append("  %s.py, line %d, in %s\n    %s\n" % (*place_of(frame.lineno), frame.name, frame.line or ""))
        else:
            lines.append("  %s, line %d, in %s\n" % (frame.filename, frame.lineno, frame.name))
    return "".join(lines + traceback.format_exception_only(kind, error))
