"""A guest's aperture: through its fences, and only as far as its GGTT leads somewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mediator.vgpu import aperture
from mediator.vgpu.fences import TILE_X, TILE_Y, Fence
from mediator.vgpu.ggtt import GgttFault

SIZE = 4 * 4096


class Ggtt:
    """So many bytes that are there."""

    def __init__(self) -> None:
        self.content = bytearray(range(256)) * (SIZE // 256)

    def read(self, address: int, count: int) -> bytes:
        self._reach(address, count)
        return bytes(self.content[address : address + count])

    def write(self, address: int, data: bytes) -> None:
        self._reach(address, len(data))
        self.content[address : address + len(data)] = data

    def _reach(self, address: int, count: int) -> None:
        if address + count > SIZE:
            raise GgttFault(address)


def make(*fences: Fence) -> Any:
    return SimpleNamespace(fences=dict(enumerate(fences)), ggtt=Ggtt())


X = Fence(4096, 4096 + 2 * 4096, 1024, TILE_X)
Y = Fence(0, 2 * 4096, 256, TILE_Y)


@pytest.mark.parametrize(
    ("fence", "seen", "lies"),
    [(X, 4096 + 1024 + 600, 4096 + 4096 + 512 + 88), (Y, 150, 4096 + 512 + 6), (None, 150, 150)],
)
def test_bytes_are_where_the_fence_says(fence: Fence | None, seen: int, lies: int) -> None:
    vgpu = make(*([fence] if fence else []))
    vgpu.ggtt.content[lies : lies + 4] = b"here"
    assert aperture.read(vgpu, seen, 4) == b"here"
    aperture.write(vgpu, seen, b"HERE")
    assert vgpu.ggtt.content[lies : lies + 4] == b"HERE"


@pytest.mark.parametrize("fences", [(), (Y,)])
def test_where_the_ggtt_leads_nowhere(fences: tuple[Fence, ...]) -> None:
    """All ones are read; what comes before it is written."""
    vgpu = make(*fences)
    assert aperture.read(vgpu, SIZE - 4, 8) == b"\xff" * 8
    aperture.write(vgpu, SIZE, b"no")
    assert vgpu.ggtt.content == make().ggtt.content
    whole = bytes(8192 + SIZE)
    aperture.write(vgpu, 0, whole)
    assert vgpu.ggtt.content[:8192] == (bytes(8192) if fences else make().ggtt.content[:8192])
    assert vgpu.ggtt.content[8192:] == make().ggtt.content[8192:]


@pytest.mark.parametrize("fence", [X, Y])
def test_what_is_written_over_many_runs_is_what_is_read(fence: Fence) -> None:
    """At once or byte by byte, and it lies at as many places."""
    vgpu, other = make(fence), make(fence)
    written = bytes(n * 7 % 251 for n in range(1500))
    start = fence.start + 300
    aperture.write(vgpu, start, written)
    for at, byte in enumerate(written):
        aperture.write(other, start + at, bytes([byte]))
    assert aperture.read(vgpu, start, len(written)) == written
    assert vgpu.ggtt.content == other.ggtt.content
    assert vgpu.ggtt.content != make().ggtt.content
