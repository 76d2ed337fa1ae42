"""The quick start of the README, typed word for word into a terminal, with a stock guest."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.guests.images import images
from tests.guests.served import REPOSITORY
from tests.guests.terminal import Terminal

pytestmark = pytest.mark.system

_BLOCK = re.compile(r"^```\n(?P<lines>.*?)^```$", re.M | re.S)
_METRICS_PORT = 9446
GUEST_SECONDS = 600.0
"""A boot and the tests, on a machine that does other things."""


def quick_start() -> list[list[str]]:
    """The commands of each block of the README's quick start, comments left out."""
    readme = (REPOSITORY / "README.md").read_text()
    section = readme.split("## Quick start", 1)[1].split("\n## ", 1)[0]
    blocks = [
        [line.split("  #")[0].strip() for line in match["lines"].splitlines() if line.strip()]
        for match in _BLOCK.finditer(section)
    ]
    return [block for block in blocks if any("vgpu" in line.lower() for line in block)]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal whose vgpud has directories of its own."""
    directories = {
        name: str(tmp_path / name.split("_")[0].lower())
        for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CONFIGURATION_DIRECTORY")
    }
    images()  # downloads are not part of the session
    with closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", _METRICS_PORT)), (
            f"port {_METRICS_PORT} is in use: the quick start needs it"
        )
    with Terminal(REPOSITORY, directories) as opened:
        yield opened
    lock = tmp_path / "runtime" / "lock"
    with suppress(ProcessLookupError, FileNotFoundError, ValueError):
        subprocess.run(["kill", f"-{signal.SIGKILL}", lock.read_text().strip()], check=False)


def test_the_quick_start_word_for_word(terminal: Terminal) -> None:
    start, guest, look = quick_start()[:3]
    terminal.open("first")
    printed = {}
    for line in start:
        printed[line] = terminal.type("first", line, 300.0)
        if line.endswith("&"):
            terminal.wait_for("first", r"ready /.*control\.sock$", 120.0)
    shown = terminal.screen("first")
    assert re.search(r"^V9_4 +ballooned +64 MiB +448 MiB +32 +4 +4$", shown, re.M), shown
    assert re.search(r"^socket +/.*web\.sock$", shown, re.M), shown
    assert "vfio-user-pci" in shown
    assert "share=on" in shown

    terminal.open("second")
    [command] = guest
    terminal.press("second", command, enter=True)
    terminal.wait_for("second", r"^web: i915 is loaded", GUEST_SECONDS)

    for line in look:
        terminal.type("first", line)
    shown = terminal.screen("first")
    assert re.search(r"^web +V9_4 +active +gpu0 +200 +- +\S+ *[(:]?\d+", shown, re.M), shown
    assert '"state": "active"' in shown
    assert re.search(r"^cap +50", shown, re.M), shown
    assert re.search(r"^vgpud_requests_submitted_total\{.*engine=\"rcs0\".*\} [1-9]", shown, re.M)
    assert re.search(r"^vgpud_sched_weight\{.*\} 400", shown, re.M)

    terminal.press("first", "vgpuctl top", enter=True)
    terminal.wait_for("first", r"web +V9_4|web .*gpu0", 120.0)
    terminal.press("first", "q")

    terminal.wait_for("second", r"^<status \d+>\n(?:.*\n)*?.*<status \d+>", GUEST_SECONDS)
    seen = terminal.screen("second")
    assert re.search(r"tests passed +\d+ of \d+", seen), seen
    assert "problem" not in seen, seen
    assert re.findall(r"^<status (\d+)>$", seen, re.M) == ["0", "0"], seen
