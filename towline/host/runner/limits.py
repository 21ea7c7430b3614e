"""Time limits of an order as numbers that clocks can add."""

LONGEST = 10**9  # seconds, some thirty years


def in_seconds(value, default):
    """A time limit in seconds; `default` where there is none or it is no number, LONGEST for what is longer."""
    try:
        seconds = min(value or default, LONGEST)
        return seconds if seconds == seconds else default
    except TypeError:
        return default
