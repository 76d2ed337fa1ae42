"""The live view of `vgpuctl top`, a Textual application."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static
from textual.worker import get_current_worker

from vgpu_ctl.cli.table import Column
from vgpu_ctl.cli.top_rows import SORTS, Reading, Row, heading, next_of, rows
from vgpu_ctl.cli.top_views import VIEWS, Shown
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable
from vgpu_ctl.printable import escaped

Connect = Callable[[], Client]


class TopApp(App[None]):
    """All vGPUs, read anew every ``interval`` seconds; also when vgpud comes back after an end."""

    TITLE = "vgpuctl top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #gpus { padding: 0 1; color: $text; }
    #status { padding: 0 1; color: $text-muted; height: 1; }
    #status.lost { color: $text-error; text-style: bold; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "quit", "Quit"),
        Binding("s", "sort", "Sort"),
        Binding("v", "view", "View"),
    ]

    def __init__(self, connect: Connect, interval: float) -> None:
        super().__init__()
        self._connect = connect
        self._interval = interval
        self._client: Client | None = None
        self._before: Reading | None = None
        self._last: Reading | None = None
        self._reading = False
        self._order = next(iter(SORTS))
        self._view = next(iter(VIEWS))
        self._problem = ""

    def compose(self) -> ComposeResult:
        """GPUs, vGPUs, a line of status, keys."""
        yield Static(id="gpus", markup=False)
        yield DataTable[Text](id="vgpus", cursor_type="row", zebra_stripes=True)
        yield Static("asking vgpud", id="status", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to read."""
        self._head()
        self._begin_reading()
        self.set_interval(self._interval, self._begin_reading)

    def action_sort(self) -> None:
        """The next order."""
        self._order = next_of(SORTS, self._order)
        self._draw()

    def action_view(self) -> None:
        """The next columns."""
        self._view = next_of(VIEWS, self._view)
        self._head()
        self._draw()

    # -- reading, in a thread of its own: vgpud may take its time ----------------------------------

    def _begin_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self.run_worker(self._read, thread=True)

    def _read(self) -> None:
        """Ask vgpud once."""
        reading, problem = None, ""
        try:
            if self._client is None:
                self._client = self._connect()
            reading = Reading(self._client.stats(), self._client.vgpus())
        except (ApiError, DaemonUnreachable) as error:
            problem = str(error)
            if self._client is not None:
                self._client.close()
                self._client = None
        if not get_current_worker().is_cancelled:
            self.call_from_thread(self._take, reading, problem)

    def _take(self, reading: Reading | None, problem: str) -> None:
        """What came of it."""
        self._reading = False
        self._problem = problem
        if reading is None:
            self._before = self._last = None  # another vgpud counts from 0
        else:
            self._before, self._last = self._last, reading
        self._draw()

    # -- drawing ----------------------------------------------------------------------------------

    def _head(self) -> None:
        table = self._table()
        table.clear(columns=True)
        for column in VIEWS[self._view]:
            table.add_column(Text(column.title, justify=_side(column)), key=column.title)

    def _draw(self) -> None:
        status = self.query_one("#status", Static)
        status.set_class(bool(self._problem), "lost")
        if self._problem:
            problem = escaped(self._problem)
            status.update(f"vgpud does not answer, trying again: {problem}")
        elif self._before is None or self._last is None:
            status.update("reading")
        else:
            status.update(f"{self._view}, by {self._order}, every {self._interval:g} s")
            self.query_one("#gpus", Static).update(heading(self._before, self._last))
            columns = VIEWS[self._view]
            self._fill(rows(self._before, self._last, self._order, columns))

    def _fill(self, found: list[Row]) -> None:
        table = self._table()
        line = table.cursor_row
        table.clear()
        for row in found:
            style = "bold red" if row.troubled else "" if row.usage else "dim"
            cells = [
                Text(escaped(cell) or "-", style=style, justify=_side(column))
                for column, cell in zip(VIEWS[self._view], row.cells, strict=True)
            ]
            table.add_row(*cells, key=row.vgpu.uuid)
        table.move_cursor(row=line)

    def _table(self) -> DataTable[Text]:
        return self.query_one("#vgpus", DataTable)


def _side(column: Column[Shown]) -> Literal["left", "right"]:
    return "right" if column.right else "left"
