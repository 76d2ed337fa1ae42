"""DMA_MAP: golden bytes, kinds of ranges, and each way to get it wrong."""

import os
from errno import EACCES, EEXIST, EINVAL, ENOSPC

import pytest

from mmio_trap.guest_memory import GuestAddressError
from mmio_trap.vfio_user.protocol import Command, DmaMap
from mmio_trap.vfio_user.session import Session
from mmio_trap.vfio_user.version import Version
from tests.open_files import open_fds
from tests.protocol.conftest import Rig


def body(
    address: int = 0x100000, size: int = 0x10000, offset: int = 0, flags: int = 3, argsz: int = 32
) -> bytes:
    return DmaMap(argsz, flags, offset, address, size).pack()


def test_golden_bytes(rig: Rig, memfd: int) -> None:
    request = bytes.fromhex(
        "0100 0200 30000000 00000000 00000000"
        "20000000 03000000 0010000000000000 0000100000000000 0020000000000000"
    )
    assert rig.raw(request, [memfd]) == bytes.fromhex("0100 0200 10000000 01000000 00000000")
    os.pwrite(memfd, b"hello", 0x1000)
    assert rig.memory.read(0x100000, 5) == b"hello"
    assert rig.memory.table[:2].tolist() == [0x100000, 0x102000]


def test_range_without_a_file_is_accepted(rig: Rig) -> None:
    """QEMU maps firmware, and the device's own BAR, without a descriptor."""
    assert rig.ask(Command.DMA_MAP, body()) == b""
    with pytest.raises(GuestAddressError):
        rig.memory.read(0x100000, 4)


def test_memory_that_is_not_shared_is_told_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """QEMU starts without a word, and nothing in the guest would ever work."""
    for number in range(2):
        rig.ask(Command.DMA_MAP, body(address=number << 32, size=1 << 30))
    (told,) = [r.getMessage() for r in caplog.records if "share=on" in r.getMessage()]
    assert told.startswith("guest memory at 0x0+0x40000000 came without a file: the device cannot")


def test_read_only_range(rig: Rig, memfd: int) -> None:
    rig.ask(Command.DMA_MAP, body(flags=1), [memfd])
    assert rig.memory.read(0x100000, 1) == b"\0"
    with pytest.raises(GuestAddressError):
        rig.memory.write(0x100000, b"x")


def test_write_only_range(rig: Rig, memfd: int) -> None:
    rig.ask(Command.DMA_MAP, body(flags=2), [memfd])
    rig.memory.write(0x100000, b"x")
    with pytest.raises(GuestAddressError):
        rig.memory.read(0x100000, 1)


def test_range_for_nothing(rig: Rig, memfd: int) -> None:
    rig.ask(Command.DMA_MAP, body(flags=0), [memfd])
    with pytest.raises(GuestAddressError):
        rig.memory.read(0x100000, 1)
    with pytest.raises(GuestAddressError):
        rig.memory.write(0x100000, b"x")


def test_many_ranges_of_one_file_keep_one_descriptor(rig: Rig, memfd: int) -> None:
    before = open_fds()
    for page in range(16):
        rig.ask(Command.DMA_MAP, body(page * 0x2000, 0x1000, page * 0x1000), [memfd])
    assert open_fds() <= before + 1


@pytest.mark.parametrize(
    ("payload", "errno"),
    [
        (b"", EINVAL),
        (body()[:31], EINVAL),
        (body(argsz=31), EINVAL),
        (body(argsz=0), EINVAL),
        (body(flags=4), EINVAL),
        (body(flags=0x80000003), EINVAL),
        (body(size=0), EINVAL),
        (body(size=0x800), EINVAL),
        (body(address=0x100800), EINVAL),
        (body(offset=0x800, size=0x1000), EINVAL),
        (body(address=(1 << 64) - 0x1000, size=0x2000), EINVAL),
        (body(size=(1 << 64) - 0x1000), EINVAL),
        (body(offset=(1 << 64) - 0x1000, size=0x1000), EINVAL),
        (body(size=0x11000), EINVAL),
        (body(offset=0x1000), EINVAL),
        (body(offset=0x10000, size=0x1000), EINVAL),
    ],
)
def test_malformed_is_refused(rig: Rig, memfd: int, payload: bytes, errno: int) -> None:
    assert rig.refuse(Command.DMA_MAP, payload, [memfd]) == errno
    assert len(rig.memory.table) == 0


@pytest.mark.parametrize(
    ("address", "size"),
    [
        (0x100000, 0x10000),
        (0xFF000, 0x2000),
        (0x10F000, 0x2000),
        (0x101000, 0x1000),
        (0xFF000, 0x12000),
    ],
)
def test_overlap_is_refused(rig: Rig, memfd: int, address: int, size: int) -> None:
    rig.ask(Command.DMA_MAP, body(), [memfd])
    assert rig.refuse(Command.DMA_MAP, body(address, size)) == EEXIST
    assert len(rig.memory.table) == 4


def test_two_descriptors_are_refused(rig: Rig, memfd: int) -> None:
    assert rig.refuse(Command.DMA_MAP, body(), [memfd, memfd]) == EINVAL


def test_descriptor_without_memory_is_refused(rig: Rig, eventfds: list[int]) -> None:
    assert rig.refuse(Command.DMA_MAP, body(size=0x1000), [eventfds[0]]) == EINVAL
    reader, writer = os.pipe()
    assert rig.refuse(Command.DMA_MAP, body(size=0x1000), [reader]) == EINVAL
    os.close(reader)
    os.close(writer)


def test_writable_range_of_a_read_only_file_is_refused(rig: Rig, memfd: int) -> None:
    reader = os.open(f"/proc/self/fd/{memfd}", os.O_RDONLY)
    assert rig.refuse(Command.DMA_MAP, body(), [reader]) == EACCES
    rig.ask(Command.DMA_MAP, body(flags=1), [reader])
    os.close(reader)


def test_a_client_that_is_refused_for_ever_fills_no_log(
    rig: Rig, eventfds: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(200):
        assert rig.refuse(Command.DMA_MAP, body(size=0x1000), [eventfds[0]]) == EINVAL
    lines = [text for text in caplog.messages if "DMA_MAP 0x100000+0x1000 is refused" in text]
    assert 1 <= len(lines) < 100


@pytest.mark.parametrize(
    ("size", "shared", "told"),
    [(512 << 20, False, True), ((512 << 20) - 4096, False, False), (512 << 20, True, False)],
)
def test_from_which_size_on_a_range_is_surely_memory(
    rig: Rig, caplog: pytest.LogCaptureFixture, size: int, shared: bool, told: bool
) -> None:
    fds = [os.memfd_create("ram")] if shared else []
    for fd in fds:
        os.ftruncate(fd, size)
    rig.ask(Command.DMA_MAP, body(size=size), fds)
    assert ("share=on" in caplog.text) is told
    for fd in fds:
        os.close(fd)


def test_refusals_are_logged_so_many_at_once_and_then_one_a_second(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0]
    rig.session = Session(rig.device, rig.memory, rig.interrupts, lambda: now[0])
    rig.session.version = Version()
    for seconds, lines in ((0, 20), (0, 20), (0.99, 20), (1, 21), (1, 21), (3, 23)):
        now[0] = int(seconds * 1_000_000_000)
        for _ in range(25):
            rig.refuse(Command.DMA_MAP, body(size=0))
        assert caplog.text.count("is refused") == lines, seconds


@pytest.mark.parametrize(
    ("error", "errno", "said"),
    [
        (OSError("no number"), EINVAL, "DMA_MAP 0x100000+0x1000 is refused: Invalid argument"),
        (OSError(ENOSPC, "full"), ENOSPC, "DMA_MAP 0x100000+0x1000 is refused: full"),
    ],
)
def test_what_a_refusal_says(
    rig: Rig,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    errno: int,
    said: str,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(rig.memory, "map", refuse)
    assert rig.refuse(Command.DMA_MAP, body(size=0x1000)) == errno
    assert said in caplog.text
