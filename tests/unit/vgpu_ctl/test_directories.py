"""The daemon's directories: made, checked, locked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from vgpu_ctl.directories import DirectoryError, make_passable, prepare
from vgpu_ctl.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "c", tmp_path / "run", tmp_path / "state")


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_they_are_made_and_locked(paths: Paths, umask: None) -> None:
    with ExitStack() as stack:
        prepare(paths, stack)
        assert stat.S_IMODE(paths.runtime.stat().st_mode) == 0o755
        assert stat.S_IMODE(paths.state.stat().st_mode) == 0o700  # as the umask has it
        text = f"another vgpud, process {os.getpid()}, uses {paths.runtime}: stop it"
        with ExitStack() as second, pytest.raises(DirectoryError, match=text):
            prepare(paths, second)
    with ExitStack() as stack:
        prepare(paths, stack)


def test_one_directory_shared_is_enough(paths: Paths) -> None:
    other = Paths(paths.config, paths.runtime.with_name("other"), paths.state)
    with ExitStack() as stack, ExitStack() as second:
        prepare(paths, stack)
        with pytest.raises(DirectoryError, match=f"uses {paths.state}"):
            prepare(other, second)


@pytest.mark.parametrize(("where", "mode"), [("run", 0o757), ("state", 0o777), (".", 0o777)])
def test_what_everybody_can_write_is_refused(paths: Paths, where: str, mode: int) -> None:
    for directory in (paths.runtime, paths.state):
        directory.mkdir()
    path = paths.runtime.parent / where
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        with ExitStack() as stack, pytest.raises(DirectoryError, match="written by everybody"):
            prepare(paths, stack)
        if where == ".":
            path.chmod(mode | stat.S_ISVTX)  # as /tmp: nobody can replace what is another's
            with ExitStack() as stack:
                prepare(paths, stack)
    finally:
        path.chmod(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
@pytest.mark.parametrize("where", ["run", "."])
def test_what_is_another_users_is_refused(paths: Paths, where: str) -> None:
    paths.runtime.mkdir()
    os.chown(paths.runtime.parent / where, 12345, 12345)
    with ExitStack() as stack, pytest.raises(DirectoryError, match="belongs to user 12345"):
        prepare(paths, stack)


def test_a_file_in_the_way(paths: Paths) -> None:
    paths.runtime.touch()
    with ExitStack() as stack, pytest.raises(DirectoryError, match=f"cannot make {paths.runtime}"):
        prepare(paths, stack)


def test_an_existing_mode_stays(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o750)
    make_passable(mine)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o750
