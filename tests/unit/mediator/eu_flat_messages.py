"""Messages answered from flat memory, one lane after the other, by the PRM's text alone.

For tests of the interpreter: no page tables, no caches; buffers, SLM of the data ports, barriers.
What is not here (typed surfaces, samplers, float atomics) is a fault.
Source: PRM SKL vol 2d "Data Port Messages", vol 7 "Shared Functions - Data Port".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mediator.softgpu.eu.message_port import Call, MessageFault

Read = Callable[[int, int], bytes]
Write = Callable[[int, bytes], None]

_48 = (1 << 48) - 1
_SLM = 254
_STATELESS = (253, 255)


@dataclass(slots=True)
class FlatMessages:
    """``read`` and ``write`` are the memory by GPU address; they raise KeyError outside of it."""

    read: Read
    write: Write
    binding_table: int = 0
    """GPU address."""
    surface_base: int = 0
    general_base: int = 0
    slm: bytearray = field(default_factory=lambda: bytearray(65536))

    def send(self, call: Call) -> MessageFault | None:
        """`message_port.Messages.send`."""
        if call.sfid in (0, 7) or not call.mask:
            return None
        if call.sfid == 3:
            call.thread["arrived"] = 1
            return None
        handler = {9: self._data_port_0, 10: self._data_port_0, 12: self._data_port_1}[call.sfid]
        try:
            handler(call)
        except KeyError as error:
            return MessageFault(str(error), 0)
        return None

    # Surfaces

    def _buffer(self, index: int) -> tuple[int, int]:
        """Address and size of what a binding table index means."""
        if index in _STATELESS:
            return self.general_base, 1 << 32
        entry = int.from_bytes(self.read(self.binding_table + 4 * index, 4), "little")
        words = np.frombuffer(self.read(self.surface_base + entry, 64), np.uint32).tolist()
        size = (words[2] & 0x7F | (words[2] >> 16 & 0x3FFF) << 7 | words[3] >> 21 << 21) + 1
        return (words[8] | words[9] << 32) & _48, size

    def _load(self, index: int, offset: int, size: int) -> bytes:
        if index == _SLM:
            offset &= 0xFFFF
            return bytes(self.slm[offset : offset + size])
        base, limit = self._buffer(index)
        if offset + size > limit:
            return bytes(size)
        return self.read((base + offset) & _48, size)

    def _store(self, index: int, offset: int, data: bytes) -> None:
        if index == _SLM:
            offset &= 0xFFFF
            self.slm[offset : offset + len(data)] = data
            return
        base, limit = self._buffer(index)
        if offset + len(data) <= limit:
            self.write((base + offset) & _48, data)

    # Data port 1

    def _data_port_1(self, call: Call) -> None:
        kind = call.descriptor >> 14 & 0x1F
        index = call.descriptor & 0xFF
        payload = np.concatenate([call.payload, call.more])
        if call.descriptor >> 19 & 1:
            header, payload = payload[:32], payload[32:]
        else:
            header = np.zeros(32, np.uint8)
        lanes = [lane for lane in range(16) if call.mask >> lane & 1]
        control = call.descriptor >> 8 & 0x3F
        response = call.response.view(np.uint32)
        match kind:
            case 0x01 | 0x09 | 0x11 | 0x19:
                width = 16 if control >> 4 & 3 == 1 else 8
                channels = [n for n in range(4) if not control >> n & 1]
                wide = kind >= 0x11
                addresses, rest = _addresses(payload, width, wide)
                for number, channel in enumerate(channels):
                    for lane in (lane for lane in lanes if lane < width):
                        at = int(addresses[lane]) + 4 * channel
                        place = number * width + lane
                        if kind in (0x01, 0x11):
                            word = self._any(wide, index, at, 4)
                            response[place] = int.from_bytes(word, "little")
                        else:
                            data = rest[place * 4 : place * 4 + 4].tobytes()
                            self._put(wide, index, at, data)
            case 0x02 | 0x12:
                wide = kind == 0x12
                width = 8 if wide or control >> 4 & 1 else 16
                size = 8 if wide and control >> 4 & 1 else 4
                self._atomic(call, payload, wide, index, width, size, lanes)
            case 0x10 | 0x1A:
                size, count = (1, 4, 8)[control & 3], 1 << (control >> 2 & 3)
                width = 16 if control >> 4 & 1 else 8
                addresses, rest = _addresses(payload, width, True)
                slot = max(size, 4)
                for lane in (lane for lane in lanes if lane < width):
                    at = int(addresses[lane])
                    if size == 1:
                        size, count = count, 1
                    for number in range(count):
                        place = (number * width + lane) * slot
                        if kind == 0x10:
                            data = self.read((at + number * size) & _48, size)
                            call.response[place : place + slot] = 0
                            call.response[place : place + size] = np.frombuffer(data, np.uint8)
                        else:
                            self.write((at + number * size) & _48, rest[place:][:size].tobytes())
            case 0x14 | 0x15:
                address = int(header.view(np.uint64)[0])
                self._block(call, control & 7, kind == 0x14, payload, address, None)
            case _:
                raise KeyError(f"data port 1 message {kind:#x}")

    def _any(self, wide: bool, index: int, at: int, size: int) -> bytes:
        return self.read(at & _48, size) if wide else self._load(index, at, size)

    def _put(self, wide: bool, index: int, at: int, data: bytes) -> None:
        if wide:
            self.write(at & _48, data)
        else:
            self._store(index, at, data)

    def _atomic(
        self,
        call: Call,
        payload: NDArray[np.uint8],
        wide: bool,
        index: int,
        width: int,
        size: int,
        lanes: list[int],
    ) -> None:
        operation = call.descriptor >> 8 & 15
        addresses, rest = _addresses(payload, width, wide)
        operands = rest.view(np.uint64 if size == 8 else np.uint32)
        for lane in (lane for lane in lanes if lane < width):
            at = int(addresses[lane])
            old = int.from_bytes(self._any(wide, index, at, size), "little")
            first = int(operands[lane]) if len(operands) > lane else 0
            second = int(operands[width + lane]) if len(operands) > width + lane else 0
            new = atomic_result(operation, old, first, second, 8 * size)
            if new is not None:
                self._put(wide, index, at, new.to_bytes(size, "little"))
            if call.descriptor >> 13 & 1:
                place = lane * size
                data = np.frombuffer(old.to_bytes(size, "little"), np.uint8)
                call.response[place : place + size] = data

    # Data port 0 and the constant cache

    def _data_port_0(self, call: Call) -> None:
        index = call.descriptor & 0xFF
        control = call.descriptor >> 8 & 0x3F
        payload = np.concatenate([call.payload, call.more])
        if call.descriptor >> 18 & 1:
            self._scratch(call, payload)
            return
        kind = call.descriptor >> 14 & 15
        header = np.zeros(8, np.uint32)
        if call.descriptor >> 19 & 1:
            header, payload = payload[:32].view(np.uint32), payload[32:]
        lanes = [lane for lane in range(16) if call.mask >> lane & 1]
        base = int(header[5]) & ~0x3FF if index in _STATELESS else 0
        match kind:
            case 0 | 1 | 8:
                unit = 1 if kind == 1 else 16
                at = int(header[2]) * unit + base
                self._block(call, control & 7, kind < 8, payload, at, index)
            case 3 | 0xB | 4 | 0xC:
                width = 16 if control & 1 else 8
                size = 4 if kind in (3, 0xB) else 1 << (control >> 2 & 3)
                scale = 4 if kind in (3, 0xB) else 1
                addresses, rest = _addresses(payload, width, False)
                for lane in (lane for lane in lanes if lane < width):
                    at = int(addresses[lane]) * scale + base
                    if kind < 8:
                        word = int.from_bytes(self._load(index, at, size), "little")
                        call.response.view(np.uint32)[lane] = word
                    else:
                        self._store(index, at, rest[4 * lane : 4 * lane + size].tobytes())
            case 7:
                pass
            case _:
                raise KeyError(f"data port 0 message {kind:#x}")

    def _scratch(self, call: Call, payload: NDArray[np.uint8]) -> None:
        base = int(payload[:32].view(np.uint32)[5]) & ~0x3FF
        at = self.general_base + base + (call.descriptor & 0xFFF) * 32
        size = (1 << (call.descriptor >> 12 & 3)) * 32
        if call.descriptor >> 17 & 1:
            self.write(at, payload[32 : 32 + size].tobytes())
        else:
            call.response[:size] = np.frombuffer(self.read(at, size), np.uint8)

    def _block(
        self,
        call: Call,
        code: int,
        reads: bool,
        payload: NDArray[np.uint8],
        at: int,
        index: int | None,
    ) -> None:
        """OWords from ``at``: of a surface, or at an address if ``index`` is None."""
        size, start = {0: (16, 0), 1: (16, 16), 2: (32, 0), 3: (64, 0), 4: (128, 0)}[code]
        for dword in range(0, size, 4):
            place = slice(start + dword, start + dword + 4)
            if reads:
                data = (
                    self.read(at + dword & _48, 4)
                    if index is None
                    else self._load(index, at + dword, 4)
                )
                call.response[place] = np.frombuffer(data, np.uint8)
            elif index is None:
                self.write(at + dword & _48, payload[place].tobytes())
            else:
                self._store(index, at + dword, payload[place].tobytes())


def _addresses(
    payload: NDArray[np.uint8], width: int, wide: bool
) -> tuple[NDArray[np.uint32] | NDArray[np.uint64], NDArray[np.uint8]]:
    size = 8 * width if wide else 4 * width
    if wide:
        return payload[:size].view(np.uint64), payload[size:]
    return payload[:size].view(np.uint32), payload[size:]


def atomic_result(operation: int, old: int, first: int, second: int, bits: int) -> int | None:
    """What an integer atomic leaves; None if nothing is written."""
    mask = (1 << bits) - 1

    def signed(value: int) -> int:
        return value - (1 << bits) if value >> (bits - 1) else value

    match operation:
        case 1:
            return old & first
        case 2:
            return old | first
        case 3:
            return old ^ first
        case 4:
            return first
        case 5:
            return old + 1 & mask
        case 6 | 15:
            return old - 1 & mask
        case 7:
            return old + first & mask
        case 8:
            return old - first & mask
        case 9:
            return first - old & mask
        case 10:
            return max(old, first, key=signed)
        case 11:
            return min(old, first, key=signed)
        case 12:
            return max(old, first)
        case 13:
            return min(old, first)
        case 14:
            return second if old == first else None
    raise KeyError(f"atomic operation {operation}")
