"""The log: each record is one line of its format, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpu_ctl import logs
from vgpu_ctl.logs import LONGEST_VALUE, Format
from vgpu_ctl.printable import escaped

LOG = logging.getLogger("mediator.example")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


@pytest.fixture(autouse=True)
def _the_log_is_left_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


def configure(*settings: Any, **more: Any) -> None:
    """As the daemon's, without pytest's handlers, which raise for a broken record."""
    logs.configure(*settings, **more)
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if type(one).__module__ == logs.__name__]


def written(log_format: Format, message: str, *args: object, **extra: object) -> str:
    """What a warning is in ``log_format``."""
    stream = io.StringIO()
    configure("info", log_format, stream=stream, environment={})
    LOG.warning(message, *args, extra=extra)
    return stream.getvalue()


def test_logfmt() -> None:
    line = written("logfmt", "%s: refused (%s)", "web", "a=b", vgpu="web", register=0x2230, ok=True)
    assert re.fullmatch(
        r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=warning logger=mediator\.example '
        r'event="web: refused \(a=b\)" vgpu=web register=8752 ok=true thread=MainThread\n',
        line,
    )  # fmt: skip


def test_json() -> None:
    line = written("json", "%d", 2, vgpu="web", share=float("nan"), path=Path("/a"), none=None)
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields == {
        "level": "warning",
        "logger": "mediator.example",
        "event": "2",
        "vgpu": "web",
        "share": "nan",
        "path": "/a",
        "none": None,
        "thread": "MainThread",
    }


def test_console_has_colours_on_a_terminal_only() -> None:
    assert "\x1b" not in written("console", "plain")
    for environment, is_coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        text = on_terminal(environment)
        assert "seen" in text
        assert ("\x1b[" in text) == is_coloured


def on_terminal(environment: dict[str, str]) -> str:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        configure("info", stream=terminal, environment=environment)
        LOG.warning("seen", extra={"vgpu": "web"})
        text = os.read(master, 4096).decode()
    os.close(master)
    return text


def test_without_a_terminal_it_is_logfmt() -> None:
    assert written("auto", "here").startswith("time=")


@pytest.mark.parametrize("log_format", ["console", "logfmt", "json"])
@given(text=st.text(st.characters(codec=None), max_size=50))
def test_no_text_breaks_a_line(log_format: Format, text: str) -> None:
    line = written(log_format, "guest says %s", text, reason=text)
    assert line.endswith("\n")
    assert not CONTROL.search(line[:-1].replace("\x7f", "" if log_format == "json" else "\x7f"))
    if log_format == "json":
        assert json.loads(line)["reason"] == text


def test_escapes() -> None:
    assert escaped("é\n\x1b[31m\u202e\ud800", "\n") == "é\n\\x1b[31m\\u202e\\ud800"
    assert 'reason="a\\nlevel=error"' in written("logfmt", "x", reason="a\nlevel=error")
    assert "reason=a\\nb" in written("console", "x", reason="a\nb")


def test_a_long_value_is_cut() -> None:
    fields = json.loads(written("json", "x" * 100_000))
    assert fields["event"] == "x" * (LONGEST_VALUE - 3) + "..."


@pytest.mark.parametrize("log_format", ["console", "logfmt", "json"])
def test_an_exception_is_one_field_or_indented(log_format: Format) -> None:
    stream = io.StringIO()
    configure("info", log_format, stream=stream, environment={})
    try:
        raise ValueError("bad\ntime=2026 level=error \x1b[31m")
    except ValueError:
        LOG.exception("vGPU fails", stack_info=True)
    first, *rest = stream.getvalue().splitlines()
    assert "vGPU fails" in first
    if log_format == "console":
        assert "    ValueError: bad" in rest
        assert all(not line or line.startswith(("    ", "=====")) for line in rest)
    else:
        assert rest == []
        assert "ValueError: bad\\ntime=2026" in first
    assert "\x1b" not in stream.getvalue()
    if log_format == "json":
        assert json.loads(first)["exception"].startswith("Traceback (most recent call last):\n")
        assert "test_logs.py" in json.loads(first)["stack"]


@pytest.mark.parametrize("log_format", ["logfmt", "console"])
def test_the_journal_gets_priorities_and_no_time(log_format: Format, tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        configure("debug", log_format, stream=stream, environment=environment)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, 50):
            LOG.log(level, "here")
        try:
            raise ValueError
        except ValueError:
            LOG.exception("fails")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert [line[:3] for line in lines[:5]] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert all(line.startswith("<3>") for line in lines[5:])
    assert not any("time=" in line or re.search(r"\d\d:\d\d:\d\d", line) for line in lines)
    if log_format == "logfmt":
        assert lines[2] == "<4>level=warning logger=mediator.example event=here thread=MainThread"


def test_the_journal_of_another_stream_is_none(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as stream:
        configure("info", stream=stream, environment={"JOURNAL_STREAM": "1:2"})
        LOG.info("here")
        stream.seek(0)
        assert stream.read().startswith("time=")


def test_settings_change_at_run_time() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("warning", "logfmt", stream=first, environment={})
    LOG.info("too small")
    configure("debug", "json", stream=second, environment={})
    LOG.debug("small")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["event"] == "small"
    assert len(logging.getLogger().handlers) == 1


def lines_of_flood(level: Any, limit: bool) -> int:
    stream = io.StringIO()
    configure(level, "logfmt", limit, stream=stream, environment={})
    for _ in range(2000):
        LOG.warning("again")
    return stream.getvalue().count("\n")


def test_a_flood_is_cut_unless_all_is_wanted() -> None:
    assert lines_of_flood("info", True) < 1000
    assert lines_of_flood("info", False) == 2000
    assert lines_of_flood("debug", True) == 2000


def test_warnings_and_threads_are_named() -> None:
    stream = io.StringIO()
    configure("info", "logfmt", stream=stream, environment={})
    thread = threading.Thread(target=LOG.info, args=("hello",), name="vfio-user web")
    thread.start()
    thread.join()
    warnings.warn("old", stacklevel=1)
    first, second = stream.getvalue().splitlines()
    assert first.endswith('event=hello thread="vfio-user web"')
    assert "logger=py.warnings" in second


def test_a_record_that_cannot_be_formatted_is_named() -> None:
    line = written("logfmt", "%d hangs", "two")
    assert line.count("\n") == 1
    assert "level=error logger=mediator.example event=\"a record of " in line  # fmt: skip
    assert "test_logs.py:" in line
    assert "TypeError" in line


class _Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def closed() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


def unread() -> TextIO:
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w", buffering=1)


@pytest.mark.parametrize("make", [_Full, closed, unread])
def test_a_broken_stream_is_nobodys_failure(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO() if make is closed else make()
    configure("info", "json", stream=stream, environment={})
    if make is closed:
        stream.close()
    for _ in range(3):
        LOG.error("lost")
    configure("info", "json", stream=make(), environment={})
    LOG.error("lost")
    assert capsys.readouterr().err == ""
