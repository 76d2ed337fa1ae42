"""A brief run of the message fuzzer, with streams that are mostly well-framed."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmio_trap.vfio_user.protocol import (
    HEADER,
    REGION_ACCESS,
    WRITE_MULTI_COUNT,
    WRITE_MULTI_ENTRY,
    Command,
    DeviceFeature,
    DmaMap,
    DmaUnmap,
    IrqInfo,
    RegionInfo,
    SetIrqs,
    pack_message,
)
from tests.fuzz.message_parser import converse, fuzz
from tests.open_files import open_fds

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""

u32 = st.one_of(st.integers(0, 64), st.integers(0, (1 << 32) - 1))
u64 = st.one_of(
    st.integers(0, 1 << 17),
    st.integers(0, 64).map(lambda page: page << 12),
    st.integers(0, (1 << 64) - 1),
)
small = st.binary(max_size=48)

payloads = st.one_of(
    small,
    st.builds(REGION_ACCESS.pack, u64, u32, u32),
    st.builds(
        lambda offset, region, data: REGION_ACCESS.pack(offset, region, len(data)) + data,
        u64,
        st.integers(0, 9),
        small,
    ),
    st.builds(
        lambda writes: WRITE_MULTI_COUNT.pack(len(writes)) + b"".join(writes),
        st.lists(
            st.builds(WRITE_MULTI_ENTRY.pack, u64, st.integers(0, 9), st.integers(0, 9), small),
            max_size=5,
        ),
    ),
    st.builds(lambda *body: DmaMap(32, *body).pack(), st.integers(0, 7), u64, u64, u64),
    st.builds(lambda *body: DmaUnmap(24, *body).pack(), st.integers(0, 3), u64, u64),
    st.builds(lambda argsz, index: RegionInfo(argsz, 0, index, 0, 0, 0).pack(), u32, u32),
    st.builds(lambda argsz, index: IrqInfo(argsz, 0, index, 0).pack(), u32, u32),
    st.builds(
        lambda flags, index, start, count, data: (
            SetIrqs(20, flags, index, start, count).pack() + data
        ),
        st.integers(0, 127),
        st.integers(0, 6),
        st.integers(0, 5),
        st.integers(0, 5),
        st.binary(max_size=5),
    ),
    st.builds(lambda flags: DeviceFeature(8, flags).pack(), u32),
    st.builds(lambda text: b"\0\0\0\0" + text + b"\0", small),
)
commands = st.one_of(st.sampled_from(list(Command)), st.integers(0, 0xFFFF))
messages = st.builds(
    pack_message,
    st.integers(0, 0xFFFF),
    commands,
    payloads,
    st.sampled_from([0, 0, 0, 0, 0x10, 0x20, 0x30, 1, 2, 1 << 31]),
    st.sampled_from([0, 0, 22]),
)
garbage = st.one_of(
    small,
    st.builds(HEADER.pack, st.just(0), st.integers(0, 20), u32, st.integers(0, 63), st.just(0)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(messages, messages, messages, garbage), max_size=8).map(b"".join))
@example(b"")
@example(pack_message(0, Command.DMA_MAP, DmaMap(32, 3, 0, (1 << 64) - 4096, 4096).pack()))
@example(pack_message(0, Command.VERSION, b"\0\0\0\0" + b"[" * 3000 + b"\0"))
def test_bytes(stream: bytes) -> None:
    fuzz(stream)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(messages, max_size=3).map(b"".join),
            st.lists(st.sampled_from(["eventfd", "memfd", "pipe"]), max_size=3),
        ),
        max_size=6,
    )
)
def test_bytes_with_descriptors(reads: list[tuple[bytes, list[str]]]) -> None:
    before = open_fds()
    converse((data, [make_fd(kind) for kind in kinds]) for data, kinds in reads)
    assert open_fds() <= before


@pytest.fixture(autouse=True, scope="module")
def _collected() -> None:
    """Earlier tests' garbage holds descriptors: it must not go while a test counts them."""
    gc.collect()


def make_fd(kind: str) -> int:
    """A descriptor as a client may pass it."""
    if kind == "eventfd":
        return os.eventfd(0)
    if kind == "memfd":
        fd = os.memfd_create("fuzz", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 1 << 16)
        return fd
    reader, writer = os.pipe()
    os.close(reader)
    return writer
