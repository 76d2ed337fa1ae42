"""The table of verbs, the global options, and how errors end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.cli.exit_codes import EXIT_CODES
from vgpu_ctl.cli.failure import report
from vgpu_ctl.cli.vgpuctl import run
from vgpu_ctl.cli.vgpuctl import vgpuctl as group
from vgpu_ctl.client import DaemonUnreachable

PROGRAM = [sys.executable, "-m", "vgpu_ctl.cli.vgpuctl"]
HEAVY = {"rich", "textual", "yaml", "prometheus_client", "pyroute2", "asyncio", "mediator"}
VERBS = [
    *("gpus", "types", "list", "show", "qemu-args"),
    *("create", "define", "start", "stop", "destroy", "undefine", "modify", "reset"),
    *("events", "stats", "top", "trace", "wait"),
    *("apply", "export", "assert", "doctor", "version", "completion"),
    *("attach", "detach", "prepare", "xml", "install-hooks"),
]


def started(*arguments: str) -> subprocess.Popen[str]:
    """The program as a terminal starts it: a job in the background would ignore SIGINT."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_every_verb_is_there() -> None:
    assert sorted(group.verbs) == sorted(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_says_what_the_verb_says(verb: str) -> None:
    context = group.make_context("vgpuctl", [verb, "--help"], resilient_parsing=True)
    command = group.get_command(context, verb)
    assert command is not None
    assert command.name == verb
    assert (command.help or "").splitlines()[0] == group.verbs[verb].help


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_everywhere(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([option]) == 0
    assert "Watch all vGPUs live." in capsys.readouterr().out
    assert run(["stop", option]) == 0
    assert "--wait[=SECONDS]" in capsys.readouterr().out.replace(" [=", "[=")


def test_help_imports_no_verb() -> None:
    code = (
        "import sys; from vgpu_ctl.cli.vgpuctl import run; run(['--help']);"
        "print(*(name for name in sys.modules if name.startswith('vgpu_ctl.cli.')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.rpartition(".")[2] for name in out.stdout.splitlines()[-1].split()}
    assert imported == {"exit_codes", "failure", "lazy_group", "vgpuctl"}


def test_list_imports_nothing_heavy(vgpud: FakeVgpud) -> None:
    code = (
        "import sys; from vgpu_ctl.cli.vgpuctl import run;"
        f"assert run(['--socket', {str(vgpud.path)!r}, 'list']) == 0;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(out.stdout.split())


def test_no_verb_prints_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Usage: vgpuctl" in capsys.readouterr().err


def test_unknown_verb(vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("lst") == (2, "", "error: there is no verb 'lst'\nhint: did you mean `list`?\n")
    assert "--help" in vgpuctl("frobnicate").err


def test_wrong_option(vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("list", "--frob")
    assert (status, out) == (2, "")
    assert err.startswith("error: No such option")
    assert "hint: `vgpuctl list --help` says what is allowed" in err
    assert vgpuctl("--frob").status == 2


def test_version_option(vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("--version").out.startswith("vgpuctl, version ")


def test_no_vgpud(tmp_path: Path, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("list")
    assert (status, out) == (6, "")
    assert f"error: no vgpud: there is no socket {tmp_path / 's'}" in err
    assert "hint: start one with `vgpud run`" in err


def test_the_socket_of_the_environment(
    vgpud: FakeVgpud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vgpud.add(samples.vgpu("web"))
    monkeypatch.setenv("VGPUD_SOCKET", str(vgpud.path))
    assert run(["list", "-o", "name"]) == 0
    assert capsys.readouterr().out == "web\n"


def test_what_vgpud_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    error = ApiError(ErrorCode.INVALID, "0: 1 to 1024 are allowed", field="weight", hint="say more")
    assert report(error, "web") == 2
    out = capsys.readouterr().err
    assert out == "error: web: 0: 1 to 1024 are allowed (weight)\nhint: say more\n"


def test_each_refusal_has_a_status() -> None:
    assert {code.value: EXIT_CODES[code].value for code in ErrorCode} == {
        "failed": 1,
        "invalid": 2,
        "not-found": 3,
        "exists": 4,
        "busy": 4,
        "no-capacity": 5,
        "permission": 7,
        "unsupported": 1,
        "protocol": 1,
    }


def test_a_socket_that_may_not_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(DaemonUnreachable("no permission", denied=True)) == 7
    assert report(DaemonUnreachable("no answer")) == 6
    assert capsys.readouterr().err == "error: no permission\nerror: no answer\n"


def test_a_socket_that_cannot_be_read(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is no wrong usage: whether it may be used, connecting to it says."""
    monkeypatch.setattr(os, "access", lambda *_args, **_kwargs: False)
    assert vgpuctl("list", "-o", "json") == (0, "[]\n", "")


@pytest.mark.parametrize(
    "words",
    [
        *(("modify", "web", "--cap", number) for number in ("nan", "inf", "-inf", "1e999", "x")),
        *(("create", "web", "-t", "V9_4", "--cap", number) for number in ("nan", "inf")),
        *(("stats", "--interval", number) for number in ("nan", "inf")),
        *(("top", "--interval", number) for number in ("nan", "inf")),
        *(("trace", "web", "-o", "t", "--seconds", number) for number in ("nan", "inf")),
        *(("wait", "web", "--for", "active", "--timeout", number) for number in ("nan", "-1")),
        *(("events", "--timeout", number) for number in ("nan", "-1")),
        *(("stop", "web", f"--wait={number}") for number in ("nan", "-1")),
    ],
)
def test_numbers_that_are_none(words: tuple[str, ...], vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpud.add(samples.vgpu("web", active=True))
    status, out, err = vgpuctl(*words)
    assert (status, out) == (2, "")
    assert f"hint: `vgpuctl {words[0]} --help` says" in err
    assert vgpud.calls == []


def test_words_that_are_no_text(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("show", "\udcff") == (
        2,
        "",
        "error: vgpu: '\\udcff' is not allowed: text of UTF-8\n",
    )
    assert vgpuctl("create", "\udcff", "-t", "V9_4").status == 2


def test_no_colour_in_a_pipe_and_none_with_no_color(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    vgpud.add(samples.vgpu("web", active=True))
    assert "\x1b" not in vgpuctl("list").out
    assert "\x1b[32m" in _on_a_terminal(vgpud, "list")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in _on_a_terminal(vgpud, "list")


def _on_a_terminal(vgpud: FakeVgpud, *arguments: str) -> str:
    """What the program prints when its standard output is a terminal."""
    parent, child = os.openpty()
    with os.fdopen(parent, "rb", buffering=0) as terminal:
        subprocess.run(
            [*PROGRAM, "--socket", str(vgpud.path), *arguments],
            stdin=child,
            stdout=child,
            check=True,
        )
        os.close(child)
        return terminal.read(65536).decode()


def test_ctrl_c(vgpud: FakeVgpud) -> None:
    vgpud.add(samples.vgpu("web", active=True))
    process = started("--socket", str(vgpud.path), "events")
    with process:
        while not vgpud.subscriptions:
            assert process.poll() is None
        assert process.stdout is not None
        vgpud.client("web")
        assert "attached" in process.stdout.readline()  # it listens, and is past its start
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == ""


def test_a_closed_pipe(vgpud: FakeVgpud) -> None:
    vgpud.add(samples.vgpu("web", active=True))
    process = started("--socket", str(vgpud.path), "events")
    with process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        while not vgpud.subscriptions:
            assert process.poll() is None
        vgpud.client("web")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == ""


def test_a_full_disk(vgpud: FakeVgpud) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "--socket", str(vgpud.path), "gpus"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: standard output: No space left on device\n"


def test_what_the_terminal_has_no_letter_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "--socket", str(tmp_path / "s"), "doctor", "--qemu", str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"? install qemu" in done.stdout


def test_vgpud_goes_away(vgpud: FakeVgpud) -> None:
    process = started("--socket", str(vgpud.path), "events")
    with process:
        while not vgpud.subscriptions:
            assert process.poll() is None
        vgpud.stop()
        _, err = process.communicate(timeout=30)
    assert process.returncode in (0, 6)
    assert "Traceback" not in err
