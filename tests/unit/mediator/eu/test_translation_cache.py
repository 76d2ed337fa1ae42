"""Objects on disk: found again, evicted by last use, and no harm when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mediator.softgpu.eu.translator.cache import DiskCache, default_directory

FOREIGN = 12345
"""A user that is not us."""
KEYS = [bytes([number]) * 32 for number in range(8)]


def only_file(directory: Path) -> Path:
    (found,) = directory.iterdir()
    return found


def test_what_was_kept_is_found_by_another_process_too(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "kernels"
    assert DiskCache(place).store(KEYS[0], b"object")
    other = DiskCache(place)
    assert other.load(KEYS[0]) == b"object"
    assert other.load(KEYS[1]) is None
    assert (other.counters.hits, other.counters.misses) == (1, 1)
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_file_damaged_in_any_byte_is_not_used_and_goes(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    assert cache.store(KEYS[0], b"some object")
    place = only_file(tmp_path)
    whole = place.read_bytes()
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        place.write_bytes(data)
        assert cache.load(KEYS[0]) is None, at
        assert cache.counters.damaged == at + 1
        assert list(tmp_path.iterdir()) == []
    place.write_bytes(whole)
    assert cache.load(KEYS[0]) == b"some object"


def test_a_file_that_was_appended_to_is_not_used(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    assert cache.store(KEYS[0], b"some object")
    with only_file(tmp_path).open("ab") as file:
        file.write(b"!")
    assert cache.load(KEYS[0]) is None


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """However well it looks: its owner could put objects there."""
    place = Path("/")
    if os.geteuid() == 0:
        place = tmp_path / "cache"
        assert DiskCache(place).store(KEYS[0], b"object")
        os.chown(place, FOREIGN, -1)
    cache = DiskCache(place)
    assert cache.load(KEYS[0]) is None
    assert not cache.store(KEYS[1], b"object")
    assert (cache.counters.misses, cache.counters.failures) == (1, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    assert cache.store(KEYS[0], b"object")
    os.chown(only_file(tmp_path), FOREIGN, -1)
    assert cache.load(KEYS[0]) is None


@pytest.mark.parametrize("size", [0, 79, 85])
def test_a_file_cut_short_is_not_used(tmp_path: Path, size: int) -> None:
    cache = DiskCache(tmp_path)
    assert cache.store(KEYS[0], b"some object")
    os.truncate(only_file(tmp_path), size)
    assert cache.load(KEYS[0]) is None


def test_a_file_under_another_key_is_not_used(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    assert cache.store(KEYS[0], b"object")
    only_file(tmp_path).rename(tmp_path / (KEYS[1].hex() + ".kernel"))
    assert cache.load(KEYS[1]) is None


def test_links_and_pipes_are_no_files(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    assert cache.store(KEYS[0], b"object")
    place = only_file(tmp_path / "cache")
    elsewhere = place.rename(tmp_path / "elsewhere")
    place.symlink_to(elsewhere)
    assert cache.load(KEYS[0]) is None
    place.unlink()
    os.mkfifo(place)
    assert cache.load(KEYS[0]) is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_write_is_left_alone(tmp_path: Path, mode: int) -> None:
    cache = DiskCache(tmp_path / "cache")
    assert cache.store(KEYS[0], b"object")
    (tmp_path / "cache").chmod(mode)
    assert cache.load(KEYS[0]) is None
    assert not cache.store(KEYS[1], b"object")
    assert cache.counters.failures == 1


def test_a_directory_that_is_a_file_or_a_link_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not DiskCache(tmp_path / "file").store(KEYS[0], b"object")
    assert not DiskCache(tmp_path / "file" / "below").store(KEYS[0], b"object")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert not DiskCache(tmp_path / "link").store(KEYS[0], b"object")
    assert DiskCache(tmp_path / "file").load(KEYS[0]) is None


def test_the_oldest_are_evicted(tmp_path: Path) -> None:
    size = 1000 + 80
    cache = DiskCache(tmp_path, most_bytes=4 * size)
    for number, key in enumerate(KEYS[:4]):
        assert cache.store(key, bytes(1000))
        os.utime(tmp_path / (key.hex() + ".kernel"), ns=(number, number))
    assert cache.load(KEYS[0]) is not None  # used last, from now on
    assert cache.store(KEYS[4], bytes(1000))
    assert cache.load(KEYS[0]) is not None
    assert cache.load(KEYS[4]) is not None
    assert cache.load(KEYS[1]) is None
    assert cache.counters.evictions > 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4 * size


def test_left_over_parts_count_and_go(tmp_path: Path) -> None:
    part = tmp_path / "x.kernel.1.2.part"
    part.write_bytes(bytes(5000))
    os.utime(part, ns=(1, 1))
    cache = DiskCache(tmp_path, most_bytes=4000)
    assert cache.store(KEYS[0], bytes(1000))
    assert not part.exists()
    assert cache.load(KEYS[0]) == bytes(1000)


def test_a_full_disk_keeps_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from mediator.softgpu.eu.translator.cache import DiskCache
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
cache = DiskCache(Path(sys.argv[1]))
assert not cache.store(bytes(32), bytes(4096))
assert cache.load(bytes(32)) is None
assert cache.counters.failures == 1
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_directory() == Path.home() / ".cache" / "vgpud" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_directory() == Path("/elsewhere/vgpud/kernels")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/vgpud:/other")
    assert default_directory() == Path("/var/cache/vgpud/kernels")


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    assert default_directory() is None
