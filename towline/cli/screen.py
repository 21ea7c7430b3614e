"""A deployment's progress on a terminal: a live table by instance, drawn by rich on stderr."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live as Drawing
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from towline.cli import render
from towline.cli.columns import GAP
from towline.deployments.instance_status import Live
from towline.model.deployment.describe import counts
from towline.model.deployment.status import TargetStatus
from towline.model.messages.view import DeploymentView
from towline.model.visible import for_terminal

ABOVE = 7
"""Lines that the header takes."""


class Screen:
    """Draws the newest state; a fleet that is higher than the screen is summarised."""

    pace = 0.5

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._drawing = Drawing(console=self._console, auto_refresh=False, transient=False)
        self._drawing.start()
        self._trouble = ""
        self._last: RenderableType = Text("")

    def show(self, view: DeploymentView, live: Mapping[str, Live], child: DeploymentView | None = None) -> None:
        """Draws."""
        self._trouble = ""
        self._draw(view, live, child)

    def warn(self, text: str) -> None:
        """Writes a warning above the table."""
        self._console.print(_text(f"warning: {text}", "yellow"))

    def trouble(self, text: str) -> None:
        """Adds that sight is lost for the moment."""
        self._drawing.update(
            Group(self._last, _text(f"{text} Waiting; the rollout itself goes on.", "yellow")), refresh=True
        )

    def close(self, view: DeploymentView, live: Mapping[str, Live]) -> None:
        """Draws for the last time."""
        self._draw(view, live, None)

    def stop(self) -> None:
        """Gives the terminal back; what was drawn last stays."""
        self._drawing.stop()

    def _draw(self, view: DeploymentView, live: Mapping[str, Live], child: DeploymentView | None) -> None:
        height = max(5, self._console.size.height - ABOVE - (2 if child else 0))
        parts = [_header(view), _bar(view, self._console.width), _one_line((render.reason(view), "dim"))]
        if child:
            parts += [Text(""), _header(child), _one_line((render.reason(child), "dim"))]
        self._last = Group(*parts, Text(""), _instances(live, height, self._console.width))
        self._drawing.update(self._last, refresh=True)


def _header(view: DeploymentView) -> Text:
    info = view.info
    return _one_line(
        (info.full_name, "bold"),
        (f"  {info.status}", render.COLOURS.get(info.status, "bold")),
        (f"  {info.subject}", ""),
        (f"  {info.deployment_config_name}  {info.deployment_id}", "dim"),
    )


def _bar(view: DeploymentView, width: int) -> RenderableType:
    overview = view.info.overview
    total = view.progress.total or overview.total or 1
    colour = "red" if overview.failed else "green"
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        ProgressBar(
            total=total,
            completed=overview.ended,
            width=min(40, width // 4),
            complete_style=colour,
            finished_style=colour,
        ),
        _one_line((counts(view.info, view.progress), "")),
        Text(render.duration(render.elapsed(view.info.start_time, view.info.complete_time)), "dim"),
    )
    return grid


def _instances(live: Mapping[str, Live], height: int, width: int) -> RenderableType:
    """All instances, or, where the screen is too low: those in flight, those that failed, and a count of the rest."""
    every = list(live.values())
    shown = every
    if len(every) > height:
        bad = [one for one in every if render.needs_attention(one)]
        flying = [one for one in every if one.status is TargetStatus.IN_PROGRESS]
        room = height - 1
        shown = [*flying[: max(room // 2, room - len(bad))], *bad]
        shown = shown[:room]
    lines = [_line(cells) for cells in render.instance_rows(shown, width)]
    if len(shown) < len(every):
        names = {one.name for one in shown}
        hidden = [one for one in every if one.name not in names]
        lines.append(_one_line((f"not shown: {render.tally(hidden)}", "dim")))
    return Group(*lines)


def _line(cells: list[str]) -> Text:
    """One instance: its state in colour, what comes behind it dim."""
    name, state, *rest = cells
    behind = ((f"{GAP}{cell}", "dim" if place else "") for place, cell in enumerate(rest))
    return _one_line((name, ""), (f"{GAP}{state}", render.COLOURS.get(state.strip(), "dim")), *behind)


def _one_line(*parts: tuple[str, str]) -> Text:
    """Parts with their styles on one line, cut where the screen ends."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for text, style in parts:
        line.append(for_terminal(text), style)
    return line


def _text(text: str, style: str) -> Text:
    """rich writes what it is given: what could steer the terminal is taken out here."""
    return Text(for_terminal(text), style)
