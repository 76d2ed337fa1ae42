"""Artefacts are complete or absent."""

from pathlib import Path

import pytest

from tests.guests import store
from tests.guests.setup_error import SetupError

KEY, OTHER_KEY = "0" * 16, "1" * 16


def test_an_artefact_is_built_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(target: Path) -> None:
        built.append(target)
        (target / "file").write_text("content")

    first = store.artefact(tmp_path, "thing", KEY, build)
    assert store.artefact(tmp_path, "thing", KEY, build) == first
    assert len(built) == 1
    assert (first / "file").read_text() == "content"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(target: Path) -> None:
        (target / "half").write_text("half")
        raise SetupError("no")

    with pytest.raises(SetupError):
        store.artefact(tmp_path, "thing", KEY, build)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_older_keys_go_when_a_new_one_is_ready(tmp_path: Path) -> None:
    old = store.artefact(tmp_path, "thing", KEY, lambda target: None)
    longer = store.artefact(tmp_path, "thing-two", KEY, lambda target: None)
    new = store.artefact(tmp_path, "thing", OTHER_KEY, lambda target: None)
    assert not old.exists()
    assert new.is_dir()
    assert longer.is_dir()


def test_an_interrupted_builds_rest_is_removed(tmp_path: Path) -> None:
    rest = tmp_path / ".thing-abcd.part"
    rest.mkdir()
    store.artefact(tmp_path, "thing", KEY, lambda target: None)
    assert not rest.exists()


def test_a_read_only_cache_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="XDG_CACHE_HOME"), store.disk_errors(tmp_path):
        raise PermissionError(13, "Permission denied", str(tmp_path))


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert store.cache_root() == Path.home() / ".cache" / "vgpud"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert store.cache_root() == Path("/elsewhere/vgpud")
