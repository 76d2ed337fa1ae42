"""A channel at a time: untyped and scattered accesses. Twin of ``native/lanes.c``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mediator.softgpu.eu.messages.memory import ADDRESS_MASK
from mediator.softgpu.eu.messages.message import DWORD
from mediator.softgpu.eu.messages.target import Target


@dataclass(slots=True)
class Lanes:
    """Where each channel goes, and which are active."""

    at: list[int]
    mask: int

    @property
    def count(self) -> int:
        """8 or 16."""
        return len(self.at)

    def active(self) -> Iterator[tuple[int, int]]:
        """(channel, offset) of those that are."""
        return ((lane, at) for lane, at in enumerate(self.at) if self.mask >> lane & 1)


def lanes32(offsets: memoryview, count: int, mask: int, scale: int = 1, more: int = 0) -> Lanes:
    """Of dwords, each times ``scale``, plus ``more``, modulo 2^32."""
    return Lanes([offsets[lane] * scale + more & DWORD for lane in range(count)], mask)


def lanes64(addresses: memoryview, count: int, mask: int) -> Lanes:
    """Of qwords: 48 bits count."""
    pairs = ((addresses[2 * n], addresses[2 * n + 1]) for n in range(count))
    return Lanes([(low | high << 32) & ADDRESS_MASK for low, high in pairs], mask)


def read_channels(target: Target, lanes: Lanes, enabled: int, data: memoryview) -> None:
    """Dwords for the channels of ``enabled`` (x is bit 0), channel after channel."""
    channels = [channel for channel in range(4) if enabled >> channel & 1]
    for lane, at in lanes.active():
        for place, channel in enumerate(channels):
            data[place * lanes.count + lane] = target.load((at & ~3) + 4 * channel, 4)


def write_channels(target: Target, lanes: Lanes, enabled: int, data: memoryview) -> None:
    """The same, written."""
    channels = [channel for channel in range(4) if enabled >> channel & 1]
    for lane, at in lanes.active():
        for place, channel in enumerate(channels):
            target.store((at & ~3) + 4 * channel, 4, data[place * lanes.count + lane])


def read_elements(target: Target, lanes: Lanes, size: int, elements: int, data: memoryview) -> None:
    """Elements of ``size`` bytes in a row for each channel; in the registers one after another."""
    for lane, at in lanes.active():
        for element in range(elements):
            value = target.load(at + element * size, size)
            place = element * lanes.count + lane
            if size == 8:
                data[2 * place], data[2 * place + 1] = value & DWORD, value >> 32
            else:
                data[place] = value


def write_elements(
    target: Target, lanes: Lanes, size: int, elements: int, data: memoryview
) -> None:
    """The same, written."""
    for lane, at in lanes.active():
        for element in range(elements):
            place = element * lanes.count + lane
            value = data[2 * place] | data[2 * place + 1] << 32 if size == 8 else data[place]
            target.store(at + element * size, size, value)
