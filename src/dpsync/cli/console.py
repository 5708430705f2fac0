"""How a command speaks: data on stdout, talk on stderr. Off a terminal nothing is drawn, coloured or cut."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

SHAPES_VERSION = 1
"""Of every `--json`: fields are added, never renamed; what would break a reader raises this number."""

UNCUT = 10_000
"""The width of a line that nobody draws: rich falls back to 80 columns and cuts request ids."""

NARROW = 80
"""On a terminal with fewer columns a table is a list: a column of a few characters breaks every word in it."""

COLOURS = {"PROBLEM": "bold red", "waiting": "yellow", "not set": "yellow"}
"""Of a cell with nothing else in it. The word says the same, and NO_COLOR takes the colour away."""


@dataclass(slots=True)
class Talk:
    """What one run of one command may say, and where. `config` is where the settings stand.

    `did`: what was committed, with its ids, set as soon as it was. Where not all can be said after that, it is the one
    thing that still is.
    """

    config: Path = field(default_factory=lambda: Path("dpsync.toml"))
    quiet: bool = False
    verbose: int = 0
    did: str = ""

    def data(self, text: str) -> None:
        """What was asked for: a line, or a whole page that ends its own last line."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def json(self, value: Mapping[str, Any]) -> None:
        """What was asked for, for a program: see docs/commands.md for the shapes."""
        text = json.dumps({"version": SHAPES_VERSION, **value}, indent=2, ensure_ascii=False, default=str)
        sys.stdout.write(text + "\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under a head, every cell in full. Cells may hold what somebody else wrote."""
        sys.stdout.write(drawn(head, rows, sys.stdout))

    def say(self, text: str = "") -> None:
        """What helps the person at the keyboard; `-q` silences it."""
        if not self.quiet:
            sys.stderr.write(text + "\n")

    def warn(self, text: str) -> None:
        """What must be seen even with `-q`."""
        sys.stderr.write(text + "\n")

    def detail(self, text: str) -> None:
        """What only `-v` wants to know."""
        if self.verbose:
            self.say(text)

    def ending(self, *, stored: str, by_itself: str, waits: str = "") -> None:
        """How every command ends that changed something: what stands where, what goes on alone, what does not."""
        self.did = self.did or stored
        self.say(f"Stored     {stored}")
        self.say(f"By itself  {by_itself}")
        self.say(f"Waits      {waits or 'for nobody.'}")

    @contextmanager
    def progress(self, doing: str) -> Iterator[Callable[[int, int], None] | None]:
        """A bar on stderr, on a terminal only; gives a function of (done, total; 0: not known), or None."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import Progress

        # As a context it gives the cursor back and lets every exception through.
        with Progress(console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task(doing, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total or None)

    def may_ask(self) -> bool:
        """Whether somebody sits there who can answer: never in a container, a timer or a pipe."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def drawn(head: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> str:
    """The table as `out` can show it. Off a terminal: no box, no colour, one line a row, nothing cut."""
    from rich.console import Console

    kept = StringIO()
    if not out.isatty():
        console = Console(file=kept, width=UNCUT, no_color=True, force_terminal=False)
        console.print(_table(head, rows, terminal=False))
    else:
        width = Console(file=out).width
        console = Console(file=kept, force_terminal=True, width=width)
        for part in _records(head, rows) if width < NARROW else [_table(head, rows, terminal=True)]:
            console.print(part)
    return "".join(line.rstrip() + "\n" for line in kept.getvalue().splitlines())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, terminal: bool) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold" if terminal else "")
    for title in head:
        table.add_column(title, no_wrap=not terminal, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(cell) for cell in row))
    return table


def _records(head: Sequence[str], rows: Sequence[Sequence[str]]) -> "Iterator[Table | str]":
    """Each row as a list of its own, a line a column; what is empty is left out."""
    from rich.table import Table

    for number, row in enumerate(rows):
        if number:
            yield ""
        record = Table(box=None, pad_edge=False, show_header=False)
        record.add_column(style="bold", no_wrap=True)
        record.add_column(overflow="fold")
        for title, cell in zip(head, row, strict=True):
            if cell:
                record.add_row(title, _cell(cell))
        yield record


def _cell(text: str) -> "Text":
    from rich.text import Text

    from dpsync.reports.visible import visible

    return Text(visible(text), style=COLOURS.get(text, ""))


def os_user() -> str:
    """The account of the operating system that runs this command, for the record of decisions."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
