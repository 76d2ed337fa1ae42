"""The attacker's guest: its connection, memory, driver, and what it has built so far."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from typing import Self

from mmio_trap.vfio_user.client import Client, ClientRam
from mmio_trap.vfio_user.protocol import PeerError
from tests.fuzz.hostile_guest.secret import find_word
from tests.gpu_driver import ENGINE_BASES, PAGE, Context, GpuDriver, Ram
from tests.gpu_driver.driver import FAULT, GDRST, MI_MODE, RESET_BITS, RESET_CTL

RAM_SIZE = 16 << 20
_FULL = RAM_SIZE * 3 // 4
"""Past this much allocated memory the guest reboots."""
OWN, BATCH, TARGET = 0x5000_0000, 0x10_0000, 0x4000_0000
"""Where its contexts see their loot, their batches, and what they are after."""
BATCH_PAGES = 4
_CONNECT_S = 40.0
_ANSWER_S = 60.0
"""What does not answer for so long does not answer."""


class Gone(Exception):
    """The attacker has left, in whatever manner the step asked for."""


class Stolen(AssertionError):
    """The attacker has the neighbour's secret in its hands."""


class ForgivingRam(Ram):
    """A driver's memory whose tables have been spoilt: beyond its end nothing is kept."""

    def write(self, address: int, data: bytes) -> None:
        room = max(0, len(self.buffer) - address)
        self.buffer[address : address + len(data)] = data[:room]

    def read(self, address: int, count: int) -> bytes:
        return bytes(self.buffer[address : address + count]).ljust(count, b"\0")


class AttackerGuest:
    """One connection to the vGPU at ``path``, from attach to disconnect."""

    def __init__(self, path: str, secret: int, mark: int) -> None:
        self.path = path
        self.secret = secret
        self.mark = mark
        self.stack = ExitStack()
        """What ends with the guest: descriptors, threads, mappings."""
        self.client = connect(path)
        self.stack.callback(self.client.close)
        self.ram = ClientRam(self.client, 0, RAM_SIZE)
        self.stack.callback(self.ram.close)
        self.may_be_cut_off = False
        """It has sent what a server may answer by ending the connection."""
        self.next_map = 1 << 30
        """Guest physical address at which nothing was mapped yet."""
        self.maps: list[tuple[int, int]] = []
        """Ranges it has mapped beside its RAM: address and size."""
        self._view = memoryview(self.ram.bytes)
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave as a guest leaves that is switched off."""
        self.driver.ram.buffer.release()
        self._view.release()
        self.stack.close()

    # -- the driver --------------------------------------------------------------------------------

    def start(self) -> None:
        """A driver that knows nothing yet, on memory that is clean."""
        self.ram.write(0, bytes(RAM_SIZE))
        self.driver = GpuDriver(
            lambda offset, data: self.client.region_write(0, offset, data, posted=True),
            lambda offset, count: self.read(0, offset, count),
            ForgivingRam(memoryview(self._view)),
        )
        self.contexts: list[Context] = []
        self.batches: list[int] = []
        """GGTT addresses of privileged batches, `BATCH_PAGES` pages each."""
        self.placed: dict[int, int] = {}
        """Where in guest memory a GGTT address of ours points: first pages only."""

    def initialise(self) -> None:
        """Engines, status pages, and a page for the loot."""
        self.driver.initialise()
        self.own = self.driver.ram.allocate()
        self.own_ggtt = self.map_ggtt(self.own)

    def reboot(self) -> None:
        """A function-level reset, all memory mapped as at the start, a new driver."""
        self.look_for_loot()
        self.client.reset()
        self.client.dma_unmap_all()
        self.maps = []
        self.client.dma_map(0, RAM_SIZE, self.ram.fd)
        self.driver.ram.buffer.release()
        self.start()
        self.initialise()

    def prove_usable(self) -> None:
        """An honest request on each engine, after a reboot. Raises AssertionError."""
        self.reboot()
        driver = self.driver
        driver.wait(*(driver.run(driver.create_context(engine)) for engine in ENGINE_BASES))
        driver.wait_idle()

    @property
    def full(self) -> bool:
        """Little memory is left to build from."""
        return self.driver.ram._next > _FULL

    def refresh(self, engine: str) -> None:
        """Reset one engine as a driver does, whatever it is at; its contexts are given up."""
        driver = self.driver
        driver.engine_write(engine, MI_MODE, 1 << 24 | 1 << 8)
        driver.engine_write(engine, RESET_CTL, 1 << 16 | 1)
        driver.write32(GDRST, RESET_BITS[engine])
        driver.engine_write(engine, RESET_CTL, 1 << 16)
        driver.write32(FAULT, 0)
        driver.start_engine(engine, self.status_page(engine))
        self.contexts = [context for context in self.contexts if context.engine != engine]

    # -- what it builds ----------------------------------------------------------------------------

    def new_context(self, engine: str) -> Context:
        """A valid context; its tables map the loot and a batch of some pages."""
        context = self.driver.create_context(engine)
        context.tables.map(OWN, self.own)
        context.tables.map(BATCH, self.driver.ram.allocate(BATCH_PAGES), BATCH_PAGES)
        self.placed[context.lrca] = context.image - PAGE
        self.placed[context.ring_ggtt] = context.ring
        self.contexts.append(context)
        del self.contexts[:-12]
        return context

    def new_batch(self) -> int:
        """GGTT address of room for a privileged batch."""
        at = self.map_ggtt(self.driver.ram.allocate(BATCH_PAGES), BATCH_PAGES)
        self.batches.append(at)
        del self.batches[:-8]
        return at

    def map_ggtt(self, physical: int, pages: int = 1) -> int:
        address = self.driver.ggtt_map(physical, pages)
        self.placed[address] = physical
        return address

    def status_page(self, engine: str) -> int:
        """GGTT address of the engine's status page as it was at the start."""
        physical = self.driver.status_pages[engine]
        found = [at for at, where in self.placed.items() if where == physical]
        return found[0] if found else self.map_ggtt(physical)

    def user_batch(self, context: Context) -> int:
        """Guest address of the context's user batch."""
        return self.driver.ram.read_u64(context.tables.slot(BATCH)) & 0x7F_FFFF_F000

    # -- through the socket ------------------------------------------------------------------------

    def read(self, region: int, offset: int, count: int) -> bytes:
        """A region access; what comes back is searched. Raises Stolen."""
        data = self.client.region_read(region, offset, count)
        self.judge(data, f"read of {count} bytes at {offset:#x} of region {region}")
        return data

    def judge(self, data: bytes, what: str) -> None:
        """Raises Stolen if the secret is in ``data``."""
        at = find_word(data, self.secret)
        if at >= 0:
            raise Stolen(f"the neighbour's secret is in the {what}, at byte {at:#x}")

    def look_for_loot(self) -> None:
        """In all of its memory. Raises Stolen."""
        self.judge(self.ram.bytes, "attacker's memory")  # type: ignore[arg-type]

    def send_bytes(self, data: bytes) -> None:
        """Past the protocol."""
        self.may_be_cut_off = True
        self.client._connection._sock.sendall(data)

    def leave(self, data: bytes = b"") -> None:
        """Send ``data``, and be gone. Raises Gone."""
        if data:
            with suppress(OSError):
                self.send_bytes(data)
        raise Gone


def connect(path: str) -> Client:
    """A client that is welcome; one that comes while the last is being cleared away tries again.

    Raises TimeoutError when nobody is let in for long.
    """
    ends = time.monotonic() + _CONNECT_S
    while True:
        client = Client.connect(path, _ANSWER_S)
        try:
            client.negotiate()
        except (PeerError, ConnectionError):
            client.close()
            if time.monotonic() > ends:
                raise TimeoutError(f"{path}: no client was let in for {_CONNECT_S} s") from None
            time.sleep(0.01)
        else:
            return client


def descriptor(guest: AttackerGuest, fd: int) -> int:
    """``fd``, closed when the guest ends."""
    guest.stack.callback(os.close, fd)
    return fd
