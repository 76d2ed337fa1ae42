"""One client's requests, answered: validation first, then the device, then the reply's bytes.

No I/O: a :class:`~mmio_trap.vfio_user.protocol.Message` in, a :class:`Reply` out. Commands are the
methods of :class:`Session`, named after them. Never sends a request of its own: QEMU deadlocks on
a DMA_READ from inside a region access, and guest memory is mapped anyway.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EINVAL, ENOTTY, EOPNOTSUPP, EPERM

from mmio_trap.device import IrqIndex, PciDevice, Region
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.log_budget import LogBudget
from mmio_trap.vfio_user.protocol import (
    ERROR,
    HEADER_SIZE,
    MAX_DATA_XFER_SIZE,
    MAX_WRITE_MULTI,
    NO_REPLY,
    REGION_ACCESS,
    REGION_REPLY,
    TYPE_MASK,
    TYPE_REPLY,
    WRITE_MULTI_COUNT,
    WRITE_MULTI_ENTRY,
    Command,
    DeviceFeature,
    DeviceFlag,
    DeviceInfo,
    DmaFlag,
    DmaMap,
    DmaUnmap,
    IrqFlag,
    IrqInfo,
    Message,
    PeerError,
    RegionFlag,
    RegionInfo,
    RequestError,
    SetIrqs,
    SetIrqsFlag,
    UnmapFlag,
    pack_message,
    pack_sparse_areas,
)
from mmio_trap.vfio_user.version import Version, negotiate

_LOG = logging.getLogger(__name__)

_REGION_REPLY_SIZE = HEADER_SIZE + REGION_ACCESS.size
_IRQ_FLAGS = {
    IrqIndex.INTX: IrqFlag.EVENTFD | IrqFlag.MASKABLE | IrqFlag.AUTOMASKED,
    IrqIndex.MSI: IrqFlag.EVENTFD | IrqFlag.MASKABLE,
    IrqIndex.MSIX: IrqFlag.EVENTFD | IrqFlag.NORESIZE,
    IrqIndex.ERR: IrqFlag.EVENTFD,
    IrqIndex.REQ: IrqFlag.EVENTFD,
}
_MASKABLE = (IrqIndex.INTX, IrqIndex.MSI)
# Plain ints: the inverse of an IntFlag leaves unknown bits out.
_DMA_FLAGS = int(DmaFlag.READ | DmaFlag.WRITE)
_UNMAP_FLAGS = int(UnmapFlag.ALL)
_DATA = int(SetIrqsFlag.DATA_NONE | SetIrqsFlag.DATA_BOOL | SetIrqsFlag.DATA_EVENTFD)
_ACTION = int(SetIrqsFlag.ACTION_MASK | SetIrqsFlag.ACTION_UNMASK | SetIrqsFlag.ACTION_TRIGGER)


@dataclass(slots=True)
class Reply:
    """A reply message; ``fds`` are the device's and ride along."""

    data: bytes
    fds: Sequence[int] = ()


_REFUSALS_AT_ONCE = 20
"""Lines of the log; after them one a second."""
_SURELY_MEMORY = 512 << 20
"""Bytes of a range that is no firmware and no BAR of a device of this project."""
_NO_REPLY = Reply(b"")
"""What a posted write returns: it is never sent."""


@dataclass(slots=True)
class SessionCounters:
    """What one client asked for."""

    requests: int = 0
    """Messages received."""
    refused: int = 0
    """Requests answered with an errno, or dropped for one when they wanted no reply."""


class Session:
    """The server's end of one connection: its negotiated version, guest memory and interrupts.

    ``memory`` and ``interrupts`` are those the device was attached to.
    """

    def __init__(
        self,
        device: PciDevice,
        memory: GuestMemory,
        interrupts: Interrupts,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._device = device
        self._memory = memory
        self._interrupts = interrupts
        self._regions = device.regions
        self._irq_counts = device.irq_counts
        self._told_unshared = False
        self._refusals_logged = LogBudget(clock, _REFUSALS_AT_ONCE, 1)
        self.version: Version | None = None
        """What the client said; None before."""
        self.counters = SessionCounters()
        self._commands: dict[int, Callable[[Message], Reply]] = {
            Command.VERSION: self._version,
            Command.DMA_MAP: self._dma_map,
            Command.DMA_UNMAP: self._dma_unmap,
            Command.DEVICE_GET_INFO: self._get_info,
            Command.DEVICE_GET_REGION_INFO: self._get_region_info,
            Command.DEVICE_GET_REGION_IO_FDS: self._unsupported,
            Command.DEVICE_GET_IRQ_INFO: self._get_irq_info,
            Command.DEVICE_SET_IRQS: self._set_irqs,
            Command.REGION_READ: self._region_read,
            Command.REGION_WRITE: self._region_write,
            Command.DMA_READ: self._unsupported,
            Command.DMA_WRITE: self._unsupported,
            Command.DEVICE_RESET: self._reset,
            Command.DIRTY_PAGES: self._unsupported,
            Command.REGION_WRITE_MULTI: self._region_write_multi,
            Command.DEVICE_FEATURE: self._device_feature,
            Command.MIG_DATA_READ: self._unsupported,
            Command.MIG_DATA_WRITE: self._unsupported,
        }

    def answer(self, request: Message) -> Reply | None:
        """Do what ``request`` asks; None when it wants no reply. Raises PeerError for a reply.

        The caller closes ``request``.
        """
        self.counters.requests += 1
        flags = request.flags
        if flags & TYPE_MASK == TYPE_REPLY:
            raise PeerError(f"reply {request.id} to a request that was never sent")
        try:
            command = self._commands.get(request.command)
            if command is None:
                raise RequestError(EINVAL, f"unknown command {request.command}")
            if self.version is None and request.command != Command.VERSION:
                raise RequestError(EINVAL, "VERSION must come first")
            if flags & ERROR:
                raise RequestError(EINVAL, "a request cannot carry an error")
            reply = command(request)
        except RequestError as error:
            reply = self._refuse(request, error)
        return None if flags & NO_REPLY else reply

    def _refuse(self, request: Message, error: RequestError) -> Reply:
        self.counters.refused += 1
        _LOG.debug("message %d, command %d: %s", request.id, request.command, error)
        return Reply(
            pack_message(request.id, request.command, b"", TYPE_REPLY | ERROR, error.errno)
        )

    # Regions: the busy ones first

    def _region(self, index: int, offset: int, count: int) -> Region:
        """Region ``index`` if it holds the bytes; raises RequestError EINVAL."""
        if index >= len(self._regions):
            raise RequestError(EINVAL, f"region {index} does not exist")
        region = self._regions[index]
        if not 0 < count <= MAX_DATA_XFER_SIZE or offset + count > region.size:
            raise RequestError(
                EINVAL, f"{count} bytes at {offset:#x} of region {index}, {region.size:#x} long"
            )
        return region

    def _region_read(self, request: Message) -> Reply:
        if len(request.payload) != REGION_ACCESS.size:
            raise RequestError(EINVAL, f"REGION_READ of {len(request.payload)} bytes, needs 16")
        offset, index, count = REGION_ACCESS.unpack(request.payload)
        if not self._region(index, offset, count).readable:
            raise RequestError(EPERM, f"region {index} cannot be read")
        data = self._device.region_read(index, offset, count)
        assert len(data) == count
        return Reply(_region_reply(request, offset, index, count, count) + data)

    def _region_write(self, request: Message) -> Reply:
        payload = request.payload
        if len(payload) < REGION_ACCESS.size:
            raise RequestError(EINVAL, f"REGION_WRITE of {len(payload)} bytes, needs 16 and data")
        offset, index, count = REGION_ACCESS.unpack_from(payload)
        if len(payload) != REGION_ACCESS.size + count:
            raise RequestError(EINVAL, f"REGION_WRITE of {count} bytes carries {len(payload) - 16}")
        if not self._region(index, offset, count).writable:
            raise RequestError(EPERM, f"region {index} cannot be written")
        self._device.region_write(index, offset, payload[REGION_ACCESS.size :])
        if request.flags & NO_REPLY:
            return _NO_REPLY
        return Reply(_region_reply(request, offset, index, count, 0))

    def _region_write_multi(self, request: Message) -> Reply:
        """All writes, in order; none when any is refused."""
        payload = request.payload
        if len(payload) < WRITE_MULTI_COUNT.size:
            raise RequestError(EINVAL, f"REGION_WRITE_MULTI of {len(payload)} bytes")
        (number,) = WRITE_MULTI_COUNT.unpack_from(payload)
        if not 0 < number <= MAX_WRITE_MULTI:
            raise RequestError(EINVAL, f"{number} writes, 1 to {MAX_WRITE_MULTI} allowed")
        entries = payload[WRITE_MULTI_COUNT.size :]
        if len(entries) != number * WRITE_MULTI_ENTRY.size:
            raise RequestError(EINVAL, f"{number} writes in {len(entries)} bytes")
        writes = list(WRITE_MULTI_ENTRY.iter_unpack(entries))
        for offset, index, count, data in writes:
            if count > len(data):
                raise RequestError(EINVAL, f"a write of {count} bytes, 8 allowed")
            if not self._region(index, offset, count).writable:
                raise RequestError(EPERM, f"region {index} cannot be written")
        for offset, index, count, data in writes:
            self._device.region_write(index, offset, data[:count])
        return self._reply(request, WRITE_MULTI_COUNT.pack(number))

    def _reply(self, request: Message, payload: bytes = b"", fds: Sequence[int] = ()) -> Reply:
        return Reply(pack_message(request.id, request.command, payload, TYPE_REPLY), fds)

    # Version and information

    def _version(self, request: Message) -> Reply:
        if self.version is not None:
            raise RequestError(EINVAL, "VERSION comes once")
        client = Version.parse(request.payload)
        answer = negotiate(client)
        self.version = client
        return self._reply(request, answer.pack())

    def _get_info(self, request: Message) -> Reply:
        DeviceInfo.parse(request.payload)
        flags = DeviceFlag.RESET | DeviceFlag.PCI
        info = DeviceInfo(DeviceInfo.LAYOUT.size, flags, len(self._regions), len(self._irq_counts))
        return self._reply(request, info.pack())

    def _get_region_info(self, request: Message) -> Reply:
        """A client whose argsz is too small for the capabilities learns the size and asks again.

        QEMU refuses flag CAPS without ``cap_offset`` even in the answer that has no room for them.
        """
        asked = RegionInfo.parse(request.payload)
        if asked.index >= len(self._regions):
            raise RequestError(EINVAL, f"region {asked.index} does not exist")
        region = self._regions[asked.index]
        flags = RegionFlag(0)
        if region.size:
            flags |= RegionFlag.READ if region.readable else flags
            flags |= RegionFlag.WRITE if region.writable else flags
        fds: tuple[int, ...] = ()
        capabilities = b""
        if region.fd is not None:
            flags |= RegionFlag.MMAP
            fds = (region.fd,)
            if region.areas:
                flags |= RegionFlag.CAPS
                capabilities = pack_sparse_areas((area.offset, area.size) for area in region.areas)
        fixed = RegionInfo.LAYOUT.size
        size = fixed + len(capabilities)
        if asked.argsz < size:
            capabilities = b""
        cap_offset = fixed if region.areas else 0
        info = RegionInfo(size, flags, asked.index, cap_offset, region.size, 0)
        return self._reply(request, info.pack() + capabilities, fds)

    def _get_irq_info(self, request: Message) -> Reply:
        asked = IrqInfo.parse(request.payload)
        if asked.index >= len(self._irq_counts):
            raise RequestError(EINVAL, f"IRQ index {asked.index} does not exist")
        flags = _IRQ_FLAGS[IrqIndex(asked.index)]
        count = self._irq_counts[asked.index]
        info = IrqInfo(IrqInfo.LAYOUT.size, flags if count else 0, asked.index, count)
        return self._reply(request, info.pack())

    def _device_feature(self, request: Message) -> Reply:
        """No feature is offered, as Linux says it for VFIO_DEVICE_FEATURE: ENOTTY."""
        asked = DeviceFeature.parse(request.payload)
        raise RequestError(ENOTTY, f"feature {asked.flags & 0xFFFF} is not offered")

    def _unsupported(self, request: Message) -> Reply:
        raise RequestError(EOPNOTSUPP, f"{Command(request.command).name} is not offered")

    def _reset(self, request: Message) -> Reply:
        if request.payload:
            raise RequestError(EINVAL, f"DEVICE_RESET carries {len(request.payload)} bytes")
        self._device.reset()
        return self._reply(request)

    # DMA

    def _dma_map(self, request: Message) -> Reply:
        """A range without a descriptor is accepted: QEMU maps firmware and the device's own BAR."""
        asked = DmaMap.parse(request.payload)
        if asked.flags & ~_DMA_FLAGS:
            raise RequestError(EINVAL, f"DMA_MAP: unknown flags {asked.flags:#x}")
        if len(request.fds) > 1:
            raise RequestError(EINVAL, f"DMA_MAP with {len(request.fds)} file descriptors")
        try:
            self._memory.map(
                asked.address,
                asked.size,
                request.fds[0] if request.fds else None,
                asked.fd_offset,
                bool(asked.flags & DmaFlag.READ),
                bool(asked.flags & DmaFlag.WRITE),
            )
        except OSError as error:
            raise self._refusal("DMA_MAP", error, f" {asked.address:#x}+{asked.size:#x}") from error
        if not request.fds and asked.size >= _SURELY_MEMORY and not self._told_unshared:
            self._told_unshared = True
            _LOG.warning(
                "guest memory at %#x+%#x came without a file: the device cannot reach it; give the "
                "guest shared memory (memory-backend-memfd with share=on)",
                asked.address,
                asked.size,
            )
        return self._reply(request)

    def _dma_unmap(self, request: Message) -> Reply:
        asked = DmaUnmap.parse(request.payload)
        if asked.flags & ~_UNMAP_FLAGS:
            raise RequestError(EINVAL, f"DMA_UNMAP: unknown flags {asked.flags:#x}")
        if asked.flags & UnmapFlag.ALL and (asked.address or asked.size):
            raise RequestError(EINVAL, "DMA_UNMAP of everything names a range")
        try:
            if asked.flags & UnmapFlag.ALL:
                self._memory.unmap_all()
            else:
                self._memory.unmap(asked.address, asked.size)
        except OSError as error:
            raise self._refusal("DMA_UNMAP", error) from error
        return self._reply(request, request.payload[: DmaUnmap.LAYOUT.size])

    # Interrupts

    def _set_irqs(self, request: Message) -> Reply:
        asked = SetIrqs.parse(request.payload)
        data = asked.flags & _DATA
        action = asked.flags & _ACTION
        if asked.flags & ~(_DATA | _ACTION) or data.bit_count() != 1 or action.bit_count() != 1:
            raise RequestError(EINVAL, f"SET_IRQS: flags {asked.flags:#x}")
        if asked.index >= len(self._irq_counts):
            raise RequestError(EINVAL, f"SET_IRQS: IRQ index {asked.index} does not exist")
        available = self._irq_counts[asked.index]
        if asked.start + asked.count > available:
            raise RequestError(
                EINVAL, f"SET_IRQS: vectors {asked.start}+{asked.count} of {available}"
            )
        if action != SetIrqsFlag.ACTION_TRIGGER and asked.index not in _MASKABLE:
            raise RequestError(EINVAL, f"SET_IRQS: IRQ index {asked.index} cannot be masked")
        booleans = request.payload[SetIrqs.LAYOUT.size :]
        if len(booleans) != (asked.count if data == SetIrqsFlag.DATA_BOOL else 0):
            raise RequestError(EINVAL, f"SET_IRQS: {len(booleans)} bytes of data")
        if request.fds and data != SetIrqsFlag.DATA_EVENTFD:
            raise RequestError(EINVAL, "SET_IRQS: file descriptors without DATA_EVENTFD")
        if data == SetIrqsFlag.DATA_EVENTFD:
            self._set_eventfds(asked, action, request.fds)
        elif not asked.count:
            if data != SetIrqsFlag.DATA_NONE or action != SetIrqsFlag.ACTION_TRIGGER or asked.start:
                raise RequestError(EINVAL, "SET_IRQS: no vectors")
            self._interrupts.disable(asked.index)
        else:
            act = {
                SetIrqsFlag.ACTION_MASK: self._interrupts.mask,
                SetIrqsFlag.ACTION_UNMASK: self._interrupts.unmask,
                SetIrqsFlag.ACTION_TRIGGER: self._interrupts.trigger,
            }[SetIrqsFlag(action)]
            chosen = booleans if data == SetIrqsFlag.DATA_BOOL else b"\1" * asked.count
            for vector, wanted in enumerate(chosen, asked.start):
                if wanted:
                    act(asked.index, vector)
        return self._reply(request)

    def _set_eventfds(self, asked: SetIrqs, action: int, fds: Sequence[int]) -> None:
        """No descriptors at all take the vectors' eventfds away."""
        if not asked.count or len(fds) not in (0, asked.count):
            raise RequestError(EINVAL, f"SET_IRQS: {len(fds)} eventfds for {asked.count} vectors")
        try:
            if action == SetIrqsFlag.ACTION_TRIGGER:
                self._interrupts.set_triggers(asked.index, asked.start, fds or [None] * asked.count)
            elif action == SetIrqsFlag.ACTION_UNMASK and asked.index == IrqIndex.INTX:
                self._interrupts.set_unmask_eventfd(fds[0] if fds else None)
            else:
                raise RequestError(EINVAL, "SET_IRQS: only INTx has an unmask eventfd, none a mask")
        except OSError as error:
            raise self._refusal("SET_IRQS", error) from error

    def _refusal(self, command: str, error: OSError, of: str = "") -> RequestError:
        """``error`` as an answer to the client, and in the log, where no client may write much."""
        errno = error.errno or EINVAL
        reason = error.strerror or os.strerror(errno)
        if self._refusals_logged.take():
            _LOG.warning("client: %s%s is refused: %s", command, of, reason)
        return RequestError(errno, f"{command}: {reason}")


def _region_reply(request: Message, offset: int, index: int, count: int, follows: int) -> bytes:
    """Header and fixed part of the reply to a region access; ``follows`` bytes of data come."""
    size = _REGION_REPLY_SIZE + follows
    return REGION_REPLY.pack(request.id, request.command, size, TYPE_REPLY, 0, offset, index, count)
