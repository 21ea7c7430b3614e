"""The Markdown that Temporal's Web UI shows of a deployment. Pure.

What hosts and people wrote is shown as text: a log must not write the page.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from towline.model.deployment.causes import by_cause, failure_of
from towline.model.deployment.describe import (
    counts,
    failure_line,
    last_lines,
    one_line,
    printable,
    same_on,
    status_reason,
)
from towline.model.deployment.describe_end import failure_reason, rollback_result, rollback_sentence
from towline.model.deployment.status import Phase
from towline.model.messages.view import DeploymentView
from towline.model.names import DEPLOYMENT


def deployments_link(base: str, namespace: str) -> str:
    """The Web UI's list without the workflows that are no deployments; `base` is its address.

    >>> deployments_link("http://127.0.0.1:8233/", "default")
    'http://127.0.0.1:8233/namespaces/default/workflows?query=%60WorkflowType%60%3D%22Deployment%22'
    """
    query = quote(f'`WorkflowType`="{DEPLOYMENT}"', safe="")  # as the Web UI's own filter writes it
    return f"{base.rstrip('/')}/namespaces/{namespace}/workflows?query={query}"


def summary(view: DeploymentView) -> str:
    """The Markdown of the Web UI: what it is, how far, why, and what failed with its last lines."""
    info, progress = view.info, view.progress
    where = _escape(info.full_name.replace("/", " / "))
    lines = [
        f"**{where}** · {info.status} · {_code(info.subject or 'no revision')}",
        "",
        counts(info, progress),
    ]
    if progress.phase is not Phase.ENDED:
        lines += ["", _escape(progress.text or status_reason(progress))]
    if info.error_information:
        lines += ["", f"**{info.error_code}**: {_escape(one_line(failure_reason(view)))}"]
    if sentence := rollback_sentence(view):
        lines += ["", _escape(sentence)]
    if progress.phase is Phase.ENDED and (fate := rollback_result(view)):
        lines += ["", f"**{_escape(fate)}**"]
    causes = by_cause(progress.failures, failure_of)
    for first, *others in causes[:3]:
        lines += ["", f"- {_escape(failure_line(first))}"]
        if first.log_tail:
            lines += ["", _fenced(last_lines(first.log_tail, 10))]
        if others:
            lines += ["", _escape(same_on(others))]
    if len(causes) > 3:
        lines += ["", f"…and {len(causes) - 3} other causes"]
    if progress.report:
        lines += ["", f"Report: {_code(progress.report)}"]
    lines += [f"\n> {_escape(one_line(warning))}" for warning in progress.warnings[:5]]
    return "\n".join(lines)


def steering_page(deployment_id: str, description: str) -> str:
    """The Markdown of the Web UI that does not change: what it was started for, and how to look and steer."""
    verbs = {
        "watch": f"status {deployment_id} --watch",
        "pause": f"pause {deployment_id}",
        "stop": f"stop {deployment_id}",
        "what hooks wrote": f"logs {deployment_id}",
    }
    lines = [f"- {what}: {_code('towline ' + command)}" for what, command in verbs.items()]
    ours = "Temporal's own cancel stops it in order; terminate leaves hosts as they are, and rolls nothing back."
    return "\n".join([*([_escape(one_line(description)), ""] if description else []), *lines, "", ours])


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _escape(text: str) -> str:
    """Markdown that shows the text as it is, so that a log or a description cannot write the page."""
    return re.sub(r"([\\`*_\[\]<>#|~!])", r"\\\1", text)


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', chr(39))}`"


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
