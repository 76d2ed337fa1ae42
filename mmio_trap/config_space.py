"""PCI configuration space of a type 0 function: an image and its masks.

Each byte has three masks' worth of behaviour: bits software can write, bits a written 1 clears
(W1C), and the rest, read-only. Header layout: PCI Local Bus Specification 3.0 section 6.1;
capabilities: 6.7 (list), 6.8.1 (MSI), PCI Power Management 1.2 section 3.2.
The builder methods (``add_*``, ``define``) are called before the device is served.
"""

from __future__ import annotations

from collections.abc import Callable

from mmio_trap.bar import Bar, BarKind

CONFIG_SIZE = 256
EXTENDED_CONFIG_SIZE = 4096

VENDOR_ID = 0x00
DEVICE_ID = 0x02
COMMAND = 0x04
STATUS = 0x06
REVISION_ID = 0x08
CLASS_CODE = 0x09
HEADER_TYPE = 0x0E
BAR0 = 0x10
SUBSYSTEM_VENDOR_ID = 0x2C
SUBSYSTEM_ID = 0x2E
CAPABILITY_POINTER = 0x34
INTERRUPT_LINE = 0x3C
INTERRUPT_PIN = 0x3D
FIRST_CAPABILITY = 0x40

COMMAND_IO = 1 << 0
COMMAND_MEMORY = 1 << 1
COMMAND_BUS_MASTER = 1 << 2
COMMAND_INTERRUPT_DISABLE = 1 << 10
_COMMAND_WRITABLE = 0x0547
"""I/O, memory, bus master, parity response, SERR#, interrupt disable."""
_STATUS_CAPABILITY_LIST = 1 << 4
_STATUS_W1C = 0xF900

CAPABILITY_PM = 0x01
CAPABILITY_MSI = 0x05
CAPABILITY_VENDOR = 0x09

_MSI_ENABLE = 1 << 0
_MSI_64_BIT = 1 << 7
_MSI_MASKABLE = 1 << 8


class ConfigSpace:
    """The configuration space of one function: ``size`` bytes, 256 or 4096.

    ``class_code`` is 24 bits (base, sub, interface), ``interrupt_pin`` 0 (none) to 4.
    ``on_write``, when set, is called after each write with the offset and count written.
    """

    def __init__(
        self,
        vendor_id: int,
        device_id: int,
        *,
        revision: int = 0,
        class_code: int = 0,
        subsystem_vendor_id: int = 0,
        subsystem_id: int = 0,
        interrupt_pin: int = 0,
        size: int = CONFIG_SIZE,
    ) -> None:
        if size not in (CONFIG_SIZE, EXTENDED_CONFIG_SIZE):
            raise ValueError(f"configuration space is 256 or 4096 bytes, not {size}")
        self.size = size
        self.on_write: Callable[[int, int], None] | None = None
        self.bars: dict[int, Bar] = {}
        self._cold = bytearray(size)
        self._writable = bytearray(size)
        self._w1c = bytearray(size)
        self._image = bytearray(size)
        self._choices: dict[int, Callable[[int, int], int]] = {}
        """By offset: what a byte becomes of (what it was, what was written)."""
        self._last_capability = CAPABILITY_POINTER - 1  # its "next" byte is the pointer
        self._free = FIRST_CAPABILITY
        self._msi: int | None = None
        self._pm: int | None = None
        self.define(VENDOR_ID, vendor_id, 2)
        self.define(DEVICE_ID, device_id, 2)
        self.define(COMMAND, 0, 2, writable=_COMMAND_WRITABLE)
        self.define(STATUS, 0, 2, w1c=_STATUS_W1C)
        self.define(REVISION_ID, revision, 1)
        self.define(CLASS_CODE, class_code, 3)
        self.define(0x0C, 0, 1, writable=0xFF)  # cache line size
        self.define(SUBSYSTEM_VENDOR_ID, subsystem_vendor_id, 2)
        self.define(SUBSYSTEM_ID, subsystem_id, 2)
        self.define(INTERRUPT_LINE, 0, 1, writable=0xFF)
        self.define(INTERRUPT_PIN, interrupt_pin, 1)

    # Building

    def define(
        self, offset: int, value: int, width: int, *, writable: int = 0, w1c: int = 0
    ) -> None:
        """Set the reset value and the masks of ``width`` bytes at ``offset``; also the live value.

        Raises ValueError when it does not fit the space, OverflowError when a value is too wide.
        """
        if offset < 0 or offset + width > self.size:
            raise ValueError(f"offset {offset:#x} is outside {self.size} bytes of configuration")
        if writable & w1c:
            raise ValueError(f"offset {offset:#x}: a bit is both writable and write-1-to-clear")
        where = slice(offset, offset + width)
        self._cold[where] = self._image[where] = value.to_bytes(width, "little")
        self._writable[where] = writable.to_bytes(width, "little")
        self._w1c[where] = w1c.to_bytes(width, "little")

    def add_bar(
        self,
        index: int,
        size: int,
        kind: BarKind = BarKind.MEMORY32,
        *,
        prefetchable: bool = False,
    ) -> Bar:
        """Give the function BAR ``index`` of ``size`` bytes. Raises ValueError if it cannot be."""
        bar = Bar(index, size, kind, prefetchable)
        taken = {slot for other in self.bars.values() for slot in _slots(other)}
        if taken & set(_slots(bar)):
            raise ValueError(f"BAR {index} is taken")
        self.bars[index] = bar
        self.define(BAR0 + 4 * index, bar.type_bits, bar.width, writable=bar.address_mask)
        return bar

    def add_capability(
        self, identity: int, body: bytes, writable: bytes = b"", *, at: int | None = None
    ) -> int:
        """Append a capability; returns its offset.

        ``body`` follows the two header bytes, ``writable`` is its mask (missing bytes: read-only).
        ``at`` places it (a multiple of 4, for devices whose drivers know the place), else the next
        free dword is taken. Raises ValueError when it does not fit below 256.
        """
        offset = self._free if at is None else at
        end = offset + 2 + len(body)
        if offset % 4 or offset < FIRST_CAPABILITY or end > CONFIG_SIZE:
            raise ValueError(f"capability {identity:#x} does not fit at {offset:#x}")
        if any(self._cold[offset:end]):
            raise ValueError(f"capability {identity:#x} at {offset:#x} overlaps another field")
        self.define(offset, identity, 1)
        mask = int.from_bytes(writable[: len(body)], "little")
        self.define(offset + 2, int.from_bytes(body, "little"), len(body), writable=mask)
        self.define(self._last_capability + 1, offset, 1)
        self._last_capability = offset
        self._free = max(self._free, (end + 3) & ~3)
        self._cold[STATUS] |= _STATUS_CAPABILITY_LIST
        self._image[STATUS] |= _STATUS_CAPABILITY_LIST
        return offset

    def add_msi(
        self,
        vectors: int = 1,
        *,
        wide: bool = True,
        maskable: bool = False,
        at: int | None = None,
    ) -> int:
        """Append MSI for ``vectors`` (1, 2, 4... 32), 64-bit addresses with ``wide``."""
        if vectors not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"MSI cannot have {vectors} vectors")
        log2 = vectors.bit_length() - 1
        control = log2 << 1 | (_MSI_64_BIT if wide else 0) | (_MSI_MASKABLE if maskable else 0)
        body = control.to_bytes(2, "little") + bytes(4)
        writable = (_MSI_ENABLE | 7 << 4).to_bytes(2, "little") + b"\xfc\xff\xff\xff"
        if wide:
            body += bytes(4)
            writable += b"\xff\xff\xff\xff"
        body += bytes(2)  # message data
        writable += b"\xff\xff"
        if maskable:
            body += bytes(10)  # reserved, mask bits, pending bits
            writable += bytes(2) + ((1 << vectors) - 1).to_bytes(4, "little")
        self._msi = self.add_capability(CAPABILITY_MSI, body, writable, at=at)
        self._choices[self._msi + 2] = _allowed_vectors
        return self._msi

    def add_power_management(self, *, at: int | None = None) -> int:
        """Append power management 1.2: states D0 and D3hot, no PME, no soft reset in between.

        A write of D1 or D2 is discarded (PCI Power Management 1.2 section 3.2.4).
        """
        capabilities = (3).to_bytes(2, "little")
        status = (1 << 3).to_bytes(2, "little")  # No_Soft_Reset
        body = capabilities + status + bytes(2)
        self._pm = self.add_capability(CAPABILITY_PM, body, bytes(2) + b"\x03", at=at)
        self._choices[self._pm + 4] = _allowed_power_state
        return self._pm

    def add_vendor(self, body: bytes, writable: bytes = b"", *, at: int | None = None) -> int:
        """Append a vendor-specific capability; its length byte is added before ``body``."""
        whole = bytes([3 + len(body)]) + body
        return self.add_capability(CAPABILITY_VENDOR, whole, b"\0" + writable, at=at)

    # Serving

    def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes at ``offset``; what lies past the end reads 0."""
        return bytes(self._image[offset : offset + count]).ljust(count, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data`` at ``offset`` through the masks; what lies past the end is dropped."""
        count = min(len(data), self.size - offset)
        if count <= 0:
            return
        for at, byte in zip(range(offset, offset + count), data, strict=False):
            mask = self._writable[at]
            kept = self._image[at] & ~mask & ~(byte & self._w1c[at])
            fresh = kept | (byte & mask)
            choose = self._choices.get(at)
            self._image[at] = fresh if choose is None else choose(self._image[at], fresh)
        if self.on_write is not None:
            self.on_write(offset, count)

    def reset(self) -> None:
        """Return every byte to its reset value; ``on_write`` is not called."""
        self._image[:] = self._cold

    def snapshot(self) -> bytes:
        """The whole image as it is now."""
        return bytes(self._image)

    def load(self, image: bytes) -> None:
        """Take over the writable bits of a `snapshot` of a function like this one.

        Raises ValueError when its size or one of its read-only bits differs.
        """
        if len(image) != self.size:
            raise ValueError(f"a configuration space of {len(image)} bytes, not {self.size}")
        for at, byte in enumerate(image):
            changeable = self._writable[at] | self._w1c[at]
            if (byte ^ self._cold[at]) & ~changeable & 0xFF:
                raise ValueError(f"configuration byte {at:#x} is {byte:#04x}: another function")
        self._image[:] = image
        for at, choose in self._choices.items():
            self._image[at] = choose(self._cold[at], image[at])

    def poke(self, offset: int, value: int, width: int) -> None:
        """The device sets its own field: no mask applies, the reset value stays."""
        self._image[offset : offset + width] = value.to_bytes(width, "little")

    def value(self, offset: int, width: int) -> int:
        """The little-endian field of ``width`` bytes at ``offset``."""
        return int.from_bytes(self._image[offset : offset + width], "little")

    # What the device asks

    @property
    def memory_enabled(self) -> bool:
        """Whether the function answers memory accesses (command bit 1)."""
        return bool(self.value(COMMAND, 2) & COMMAND_MEMORY)

    @property
    def bus_master(self) -> bool:
        """Whether the function may use DMA and MSI (command bit 2)."""
        return bool(self.value(COMMAND, 2) & COMMAND_BUS_MASTER)

    @property
    def msi_enabled(self) -> bool:
        """Whether the guest has enabled MSI in the capability."""
        return self._msi is not None and bool(self.value(self._msi + 2, 2) & _MSI_ENABLE)

    @property
    def power_state(self) -> int:
        """0 = D0 ... 3 = D3hot."""
        return 0 if self._pm is None else self.value(self._pm + 4, 2) & 3

    def bar_address(self, index: int) -> int:
        """The bus address in BAR ``index``, 0 when it was never set. KeyError if absent."""
        bar = self.bars[index]
        return self.value(BAR0 + 4 * index, bar.width) & bar.address_mask


def _allowed_vectors(_before: int, written: int) -> int:
    """Message Control's low byte: no more vectors enabled (6:4) than the function can (3:1)."""
    capable, enabled = written >> 1 & 7, written >> 4 & 7
    return written & ~(7 << 4) | min(capable, enabled) << 4


def _allowed_power_state(before: int, written: int) -> int:
    """PMCSR's low byte: D0 and D3hot are all the states (1:0) there are."""
    return written & ~3 | (written if written & 3 in (0, 3) else before) & 3


def _slots(bar: Bar) -> range:
    return range(bar.index, bar.index + bar.width // 4)
