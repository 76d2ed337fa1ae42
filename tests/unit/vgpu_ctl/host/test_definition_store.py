"""Definitions on disk: atomic, durable as far as asked, damaged ones set aside."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import msgspec
import pytest

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.host.definition import Definition, new_uuid
from vgpu_ctl.host.definition_store import DefinitionStore, put_in


def definition(name: str, **fields: object) -> Definition:
    return Definition(uuid=new_uuid(), name=name, type="V9_4", **fields)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> DefinitionStore:
    return DefinitionStore(tmp_path / "vgpus")


def test_what_is_put_is_loaded(store: DefinitionStore) -> None:
    assert store.load() == []
    b, a = definition("b", weight=3, cap=0.5, gpu="g", autostart=True), definition("a")
    store.put(b)
    store.put(a)
    assert store.load() == [a, b]
    changed = msgspec.structs.replace(b, weight=4)
    store.put(changed)
    assert store.load() == [a, changed]
    path = store.directory / f"{b.uuid}.json"
    assert path.read_bytes().endswith(b"}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert store.has(a.uuid)
    store.remove(a.uuid)
    store.remove(a.uuid)
    assert not store.has(a.uuid)
    assert DefinitionStore(store.directory).load() == [changed]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b"[" * 50000,
        b"x" * (65 << 10),
        b'{"uuid":"U","name":"../x","type":"t"}',
        b'{"uuid":"U","name":"x"}',
        b'{"uuid":"U","name":"x","type":"t","colour":1}',
        b'{"uuid":"U","name":"x","type":"t","weight":0}',
        b'{"uuid":"U","name":"x","type":"t","version":9}',
        b'{"uuid":"123e4567-e89b-42d3-a456-426614174000","name":"x","type":"t"}',
    ],
)
def test_a_damaged_file_is_set_aside(
    store: DefinitionStore, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    """The last one has another's UUID."""
    good = Definition(uuid="0" + new_uuid()[1:], name="good", type="V9_4")
    store.put(good)
    bad = store.directory / f"f{new_uuid()[1:]}.json"
    bad.write_bytes(data.replace(b"U", bad.stem.encode()))
    with caplog.at_level(logging.ERROR):
        assert store.load() == [good]
    assert not bad.exists()
    assert bad.with_name(bad.name + ".damaged").exists()
    assert f"{bad} is no definition of a vGPU: " in caplog.text
    assert store.load() == [good]


def test_a_directory_in_place_of_a_file(store: DefinitionStore) -> None:
    store.put(definition("a"))
    (store.directory / f"{new_uuid()}.json").mkdir()
    (store.directory / "notes.txt").touch()
    assert [each.name for each in store.load()] == ["a"]
    assert (store.directory / "notes.txt").exists()


def test_a_write_that_was_cut_off_never_counted(store: DefinitionStore) -> None:
    kept = definition("a")
    store.put(kept)
    store.stage(msgspec.structs.replace(kept, weight=9))
    assert DefinitionStore(store.directory).load() == [kept]
    assert [path.suffix for path in store.directory.iterdir()] == [".json"]


def test_both_places_or_neither(store: DefinitionStore, tmp_path: Path) -> None:
    """The second cannot be written: the first has what it had."""
    (tmp_path / "file").touch()
    blocked = DefinitionStore(tmp_path / "file" / "vgpus")
    old = definition("a")
    store.put(old)
    with pytest.raises(ApiError) as error:
        put_in([store, blocked], msgspec.structs.replace(old, weight=9))
    assert error.value.code is ErrorCode.FAILED
    assert str(blocked.directory) in str(error.value)
    assert store.load() == [old]
    assert len(list(store.directory.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk(store: DefinitionStore) -> None:
    old = definition("a")
    store.put(old)
    (store.directory / f"{old.uuid}.part").symlink_to("/dev/full")
    with pytest.raises(ApiError, match="No space left on device") as error:
        store.put(msgspec.structs.replace(old, weight=9))
    assert "nothing was changed" in error.value.hint
    assert store.load() == [old]


def test_of_two_with_one_name_that_in_use_counts(
    store: DefinitionStore, caplog: pytest.LogCaptureFixture
) -> None:
    web = definition("web")
    store.put(web)
    for copy in ("00000000-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-8fff-ffffffffffff"):
        data = msgspec.json.encode(msgspec.structs.replace(web, uuid=copy))
        (store.directory / f"{copy}.json").write_bytes(data)
    assert store.uuids() >= {web.uuid}
    assert store.load(first={web.uuid}) == [web]
    assert caplog.text.count("is a second definition of web; set aside as") == 2
    assert len(list(store.directory.glob("*.damaged"))) == 2
