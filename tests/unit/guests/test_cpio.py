"""The newc archive, byte by byte and as another program reads it."""

import shutil
import subprocess

import pytest

from tests.guests import cpio


def test_layout_of_one_entry() -> None:
    data = cpio.archive([cpio.regular("a", b"hello")])
    assert data[:6] == b"070701"
    fields = [int(data[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]
    assert fields == [1, 0o100644, 0, 0, 1, 0, 5, 0, 0, 0, 0, 2, 0]
    assert data[110:112] == b"a\0"
    assert data[112:117] == b"hello"
    # Name and data both end on a multiple of four.
    assert data[120:126] == b"070701"
    assert b"TRAILER!!!" in data
    assert len(data) % 4 == 0


def test_a_device_has_its_numbers() -> None:
    data = cpio.archive([cpio.character_device("dev/console", 5, 1)])
    assert int(data[6 + 72 : 6 + 80], 16) == 5
    assert int(data[6 + 80 : 6 + 88], 16) == 1


def test_another_reader_agrees() -> None:
    program = shutil.which("cpio")
    if program is None:
        pytest.skip("needs the cpio program")
    data = cpio.archive(
        [cpio.directory("d"), cpio.program("d/run", b"x" * 5), cpio.link("d/link", "run")]
    )
    done = subprocess.run([program, "-tv"], input=data, capture_output=True, check=True)
    listing = done.stdout.decode().splitlines()
    assert listing[0].startswith("drwxr-xr-x")
    assert listing[1].endswith("d/run")
    assert listing[2].endswith("d/link -> run")


def test_the_same_entries_give_the_same_bytes() -> None:
    entries = [cpio.directory("d"), cpio.regular("d/f", b"1")]
    assert cpio.archive(entries) == cpio.archive(entries)
