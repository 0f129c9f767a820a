"""What the demo shows: steps with their checks above a live marble diagram."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..timeline import Timeline

__all__ = ["Stage"]

_LEGEND = (
    "A B sessions · a1 b1 their tokens · ● signed in with a token · ◌ without · ○ signed out · "
    "╭ request ╯ answer ╳ cancelled ! failed · ╌ held or refreshing"
)


class Stage:
    """Collects checks and figures, and draws."""

    def __init__(self, *, plain: bool) -> None:
        self._steps: list[Text] = []
        self._figures: list[tuple[str, str, bool]] = []
        self._timeline: Timeline | None = None
        self.failed = False
        self._console = Console(no_color=plain, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=10,
            auto_refresh=not plain,
            transient=False,
        )

    def show(self, timeline: Timeline) -> None:
        """Draw this timeline from now on."""
        self._timeline = timeline

    def begin(self, step: str) -> None:
        """A step begins."""
        self._steps.append(Text(f"▸ {step}", style="bold"))

    def check(self, what: str, held: bool) -> None:
        """Something that must hold in the step."""
        self.failed = self.failed or not held
        sign, style = ("✓", "green") if held else ("✗ did not hold:", "bold red")
        self._steps.append(Text(f"    {sign} {what}", style=style))

    def note(self, text: str) -> None:
        """Something worth knowing that is no check."""
        self._steps.append(Text(f"    {text}", style="dim"))

    def figure(self, name: str, value: str, *, good: bool = True) -> None:
        """A line of the summary."""
        self.failed = self.failed or not good
        self._figures.append((name, value, good))

    def finish(self) -> int:
        """Print the summary; the exit status."""
        self._console.print()
        table = Table("what", "how many", title="Summary", title_justify="left")
        for name, value, good in self._figures:
            table.add_row(name, value, style=None if good else "bold red")
        self._console.print(table)
        if self.failed:
            self._console.print(Text("Something did not hold.", style="bold red"))
        else:
            self._console.print(Text("Everything held.", style="bold green"))
        return int(self.failed)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = list(self._steps)
        if self._timeline is not None:
            marbles = Text(self._timeline.marbles(max(40, self._console.width - 4)), no_wrap=True)
            parts.append(Panel(Group(marbles, Text(_LEGEND, style="dim")), title="marbles"))
        return Group(*parts)
