"""What tests are built with; the tests themselves are in the other folders."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's folder."""
