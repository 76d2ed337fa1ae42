"""Where things are, for root, for users, and for units of systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgpu_ctl.paths import Paths, found_socket, named_socket, usual_paths


def test_root_has_the_systems_directories() -> None:
    paths = usual_paths({"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0)
    assert paths == Paths(Path("/etc/vgpud/vgpud.toml"), Path("/run/vgpud"), Path("/var/lib/vgpud"))
    assert paths.control == Path("/run/vgpud/control.sock")
    assert paths.definitions == Path("/var/lib/vgpud/vgpus")
    assert paths.active == Path("/run/vgpud/active")


def test_users_have_the_xdg_directories() -> None:
    given = {"XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": "/r", "XDG_STATE_HOME": "/s"}
    assert usual_paths({"HOME": "/h", **given}, 1000) == Paths(
        Path("/c/vgpud/vgpud.toml"), Path("/r/vgpud"), Path("/s/vgpud")
    )
    assert usual_paths({"HOME": "/h"}, 1000) == Paths(
        Path("/h/.config/vgpud/vgpud.toml"),
        Path("/tmp/vgpud-1000/vgpud"),
        Path("/h/.local/state/vgpud"),
    )


def test_relative_ones_are_ignored() -> None:
    given = {"HOME": "/h", "XDG_STATE_HOME": "s", "STATE_DIRECTORY": "t"}
    assert usual_paths(given, 1000).state == Path("/h/.local/state/vgpud")


def test_a_unit_decides() -> None:
    given = {
        "RUNTIME_DIRECTORY": "/run/a:/run/b",
        "STATE_DIRECTORY": "/var/lib/a",
        "CONFIGURATION_DIRECTORY": "/etc/a",
    }
    for uid in (0, 1000):
        assert usual_paths(given, uid) == Paths(
            Path("/etc/a/vgpud.toml"), Path("/run/a"), Path("/var/lib/a")
        )


def test_a_client_finds_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_socket({"VGPUD_SOCKET": "/x/y"}) == Path("/x/y")
    assert named_socket({"VGPUD_SOCKET": ""}) is None
    monkeypatch.setenv("RUNTIME_DIRECTORY", "")
    runtime = {"RUNTIME_DIRECTORY": str(tmp_path)}
    (tmp_path / "control.sock").touch()
    assert found_socket(runtime) == tmp_path / "control.sock"


def test_what_may_not_be_looked_into_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's directory, as `su` leaves it in XDG_RUNTIME_DIR."""

    def exists(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", exists)
    assert found_socket({"RUNTIME_DIRECTORY": str(tmp_path)}) == tmp_path / "control.sock"
