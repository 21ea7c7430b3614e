"""A broken rule of a declaration."""

from __future__ import annotations

from dataclasses import dataclass

from towline.model.problem import Severity
from towline.model.yaml.document import Location


@dataclass(frozen=True)
class Finding:
    """A broken rule at a location; the line is added later.

    `code`: CodeDeploy's, where it has this rule and `rule` is its own sentence.
    """

    at: Location
    rule: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    code: str = ""
