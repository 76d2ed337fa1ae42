"""A terminal in which a test types as a person does: bash in a tmux server of its own."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.private_program import private_command

_SIZE = ("-x", "160", "-y", "50")
_HISTORY = "-5000"
_DONE = re.compile(r"^<status (\d+)>$", re.M)
# Printed after each command, so that its end and its status can be read from the screen.
_PROMPT_COMMAND = r'printf "<status %d>\n" $?'


class TerminalError(AssertionError):
    """The screen does not show what it should; the text has the screen."""


def find_tmux(root: Path) -> tuple[list[str], dict[str, str]]:
    """The machine's tmux, or a private copy; its command and what its environment needs."""
    system = shutil.which("tmux")
    if system is not None:
        return [system], {}

    def build(target: Path) -> None:
        store.say("tmux is not on this machine, private copy (once):")
        PrivateApt(packages.TMUX.world, root).unpack(packages.TMUX, target)
        for name in ("doc", "man", "locale", "lintian"):
            shutil.rmtree(target / "usr" / "share" / name, ignore_errors=True)

    tree = store.artefact(root, "tmux", store.digest(packages.TMUX), build)
    places = [tree / name / "terminfo" for name in ("usr/lib", "lib", "usr/share")]
    terminfo = next(place for place in places if place.is_dir())
    return private_command(tree, "usr/bin/tmux"), {"TERMINFO": str(terminfo)}


class Terminal:
    """Windows of one tmux server, each with a bash in `directory`; a context manager."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        command, extra = find_tmux(store.cache_root())
        self._scratch = tempfile.TemporaryDirectory(prefix="vgpud-tmux-")
        self._command = [*command, "-S", f"{self._scratch.name}/socket", "-f", "/dev/null"]
        kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        self._environment = {
            **kept,
            "LC_ALL": "C.UTF-8",
            "TERM": "screen",
            "PROMPT_COMMAND": _PROMPT_COMMAND,
            **extra,
            **environment,
        }
        self._typed: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        subprocess.run([*self._command, "kill-server"], capture_output=True, check=False)
        self._scratch.cleanup()

    def open(self, window: str) -> None:
        """A window with a fresh shell."""
        verb = ["new-window"] if self._typed else ["new-session", *_SIZE]
        if not self._typed:
            self._tmux("start-server", ";", "set-option", "-g", "history-limit", "5000")
        self._tmux(
            *verb, "-d", "-n", window, "-c", str(self._directory), "bash", "--norc", "--noprofile"
        )
        self._typed[window] = 0
        self._wait_done(window, 20.0)

    def type(self, window: str, line: str, seconds: float = 60.0) -> str:
        """Type a line and Enter; what it printed. Raises TerminalError unless it ends with 0."""
        before = len(self.screen(window).splitlines())
        self.press(window, line, enter=True)
        status = self._wait_done(window, seconds)
        after = self.screen(window)
        if status != 0:
            raise TerminalError(f"{line!r} ended with {status}:\n{after}")
        return "\n".join(after.splitlines()[before:])

    def press(self, window: str, keys: str, *, enter: bool = False) -> None:
        """Type `keys` and do not wait."""
        self._tmux("send-keys", "-t", window, "-l", keys)
        if enter:
            self._tmux("send-keys", "-t", window, "Enter")

    def screen(self, window: str) -> str:
        """All that the window shows and has shown, without trailing blank lines."""
        return self._tmux("capture-pane", "-p", "-J", "-S", _HISTORY, "-t", window).rstrip()

    def wait_for(self, window: str, pattern: str, seconds: float) -> re.Match[str]:
        """Until the screen matches. Raises TerminalError."""
        ends = time.monotonic() + seconds
        while True:
            screen = self.screen(window)
            match = re.search(pattern, screen, re.M)
            if match is not None:
                return match
            if time.monotonic() > ends:
                raise TerminalError(f"no {pattern!r} within {seconds:.0f} s:\n{screen}")
            time.sleep(0.1)

    def _wait_done(self, window: str, seconds: float) -> int:
        """The status of the next command to end."""
        self._typed[window] += 1
        ends = time.monotonic() + seconds
        while len(found := _DONE.findall(self.screen(window))) < self._typed[window]:
            if time.monotonic() > ends:
                raise TerminalError(f"no end within {seconds:.0f} s:\n{self.screen(window)}")
            time.sleep(0.1)
        return int(found[-1])

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode != 0:
            raise TerminalError(f"tmux {' '.join(arguments[:2])}: {done.stderr.strip()}")
        return done.stdout
