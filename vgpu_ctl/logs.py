"""The daemon's log: what all modules say through `logging`, as structured lines on stderr.

Modules log with %-arguments, and name what they speak of with ``extra``: `vgpu`, `engine`,
`register`, `reason`. structlog renders that for people, as logfmt or as JSON. Guests and peers
have a say in some texts: whatever could end a line or steer a terminal is escaped.

Under systemd a line begins with its priority (sd-daemon(3)), and the journal knows the time.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from textwrap import indent
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from vgpu_ctl.log_limit import LogLimit
from vgpu_ctl.printable import escaped

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "logfmt", "json"]

LONGEST_VALUE = 4096
"""Characters of one field, so that the journal (48 KiB) does not cut a line into two."""
LONGEST_TRACEBACK = 16384
"""Characters of a traceback, from its end."""
_EVENT_WIDTH = 40
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
"""syslog(3) by least level; 7 (debug) below."""


def configure(
    level: Level,
    log_format: Format = "auto",
    limit: bool = True,
    *,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Send all records from ``level`` on to ``stream`` (stderr, without).

    May be called again: the new settings take the place of the old. ``limit``: a flood is cut
    (`LogLimit`), unless ``level`` is debug. Nothing that goes wrong while a record is written is
    raised in who logs.
    """
    stream = sys.stderr if stream is None else stream
    in_journal = _is_journal(stream, environment)
    handler = _Handler(stream, in_journal=in_journal)
    handler.setFormatter(_formatter(log_format, stream, in_journal, environment))
    if limit and level != "debug":
        handler.addFilter(LogLimit())
    root = logging.getLogger()
    before = [old for old in root.handlers if isinstance(old, _Handler)]
    root.addHandler(handler)
    for old in before:
        root.removeHandler(old)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines, with a priority each in the journal; a broken stream loses them quietly."""

    def __init__(self, stream: TextIO, *, in_journal: bool) -> None:
        super().__init__(stream)
        self._in_journal = in_journal
        self._is_reporting = False

    def format(self, record: logging.LogRecord) -> str:
        """The line for ``record``, or several with a traceback for people."""
        text = super().format(record)
        if not self._in_journal:
            return text
        prefix = f"<{_priority(record.levelno)}>"
        return prefix + text.replace("\n", f"\n{prefix}")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Called in an exception's handler, under the handler's lock.

        Without a stream there is nowhere to say so; a record that cannot be formatted is replaced.
        """
        error = sys.exc_info()[1]
        if isinstance(error, OSError) or self.stream.closed or self._is_reporting:
            return
        self._is_reporting = True
        try:
            self.emit(
                logging.makeLogRecord(
                    {
                        "name": record.name,
                        "levelno": logging.ERROR,
                        "levelname": "ERROR",
                        "msg": f"a record of {record.pathname}:{record.lineno} cannot be formatted",
                        "reason": repr(error),
                    }
                )
            )
        finally:
            self._is_reporting = False


class _Fields:
    """A processor: the fields in their order, each safe within a line."""

    def __init__(self, *, with_time: bool, kept: str | None = "") -> None:
        self._with_time = with_time
        self._kept = kept
        """Characters that the renderer escapes by itself; None: all of them."""

    def __call__(self, _logger: Any, _method: str, event_dict: EventDict) -> EventDict:
        record = cast(logging.LogRecord, event_dict.pop("_record"))
        event_dict.pop("_from_structlog")
        fields: dict[str, Any] = {}
        if self._with_time:
            fields["time"] = _timestamp(record.created)
        fields["level"] = record.levelname.lower()
        fields["logger"] = record.name
        fields["event"] = self._safe(event_dict.pop("event"))
        trace = event_dict.pop("exception", None)
        stack = event_dict.pop("stack_info", None)
        for name in ("message", "asctime"):  # left in the record by another handler's formatter
            event_dict.pop(name, None)
        fields |= {key: self._safe(value) for key, value in event_dict.items()}
        fields["thread"] = self._safe(record.threadName)
        for name, text in (("exception", trace), ("stack", stack)):
            if text:
                kept = None if self._kept is None else "\n"
                fields[name] = escaped(text[-LONGEST_TRACEBACK:], kept)
        return fields

    def _safe(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        text = str(value)
        if len(text) > LONGEST_VALUE:
            text = f"{text[: LONGEST_VALUE - 3]}..."
        return escaped(text, self._kept)


def _formatter(
    log_format: Format, stream: TextIO, in_journal: bool, environment: Mapping[str, str]
) -> logging.Formatter:
    if log_format == "auto":
        log_format = "console" if stream.isatty() else "logfmt"
    match log_format:
        case "console":
            kept: str | None = ""
            colours = stream.isatty() and not environment.get("NO_COLOR")
            renderers: list[Processor] = [_indent_traceback, _console(colours)]
        case "logfmt":
            kept = "\n"
            renderers = [structlog.processors.LogfmtRenderer(bool_as_flag=False)]
        case "json":
            kept = None
            renderers = [structlog.processors.JSONRenderer()]
    fields = _Fields(with_time=not in_journal, kept=kept)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[structlog.processors.format_exc_info, fields, *renderers],
    )


def _console(colours: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=colours,
        pad_event_to=_EVENT_WIDTH,
        sort_keys=False,
        timestamp_key="time",
    )


def _indent_traceback(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    """No line of a traceback begins as a record does."""
    for name in ("exception", "stack"):
        if name in event_dict:
            event_dict[name] = indent(event_dict[name], "    ")
    return event_dict


def _timestamp(seconds: float) -> str:
    """ISO 8601 in UTC, with milliseconds."""
    time = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return time.replace("+00:00", "Z")


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """``stream`` goes to the journal: JOURNAL_STREAM is its device and inode (systemd.exec(5))."""
    named = environment.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file; closed
        return False
    return named == f"{status.st_dev}:{status.st_ino}"
