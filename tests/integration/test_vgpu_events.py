"""Execution lists on a vGPU as natively: the same scenario on both, the same events and registers.

The driver checks meanwhile what i915's status buffer parser checks (`tests/gpu_driver/ports.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mediator.gen9.context_image import ImageIndex
from tests.gpu_driver import (
    ENGINE_BASES,
    MI_ARB_CHECK,
    MI_ARB_OFF,
    MI_ARB_ON,
    MI_BATCH_BUFFER_END,
    MI_NOOP,
    Context,
    GpuDriver,
    Request,
)
from tests.gpu_driver.commands import (
    GREATER_EQUAL,
    batch_start,
    load_register,
    semaphore_wait,
    store_dword,
)
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import DIRECT, NATIVE, PAIR, Mode, rig

BATCH = 0x10_0000
SYNC_SWITCH = 0x0009_0001
"""Context control: the restore is inhibited, a switch at a wait is not."""


class Bench:
    """One engine, a page of flags, and contexts that wait for them."""

    def __init__(self, driver: GpuDriver, engine: str) -> None:
        self.driver = driver
        self.engine = engine
        self.flags = driver.ram.allocate()
        self.flags_ggtt = driver.ggtt_map(self.flags)
        self._next = 0

    def context(self, priority: int = 0) -> Context:
        return self.driver.create_context(self.engine, priority=priority)

    def wait_command(self) -> tuple[list[int], Callable[[], None], Callable[[], None]]:
        """Commands that wait; what waits until they have begun to; what lets them go on."""
        ram, at, address = self.driver.ram, self.flags + self._next, self.flags_ggtt + self._next
        self._next += 8
        commands = [
            *store_dword(address, 1, ggtt=True),
            *semaphore_wait(address + 4, 1, compare=GREATER_EQUAL, ggtt=True),
        ]

        def begun() -> None:
            self.driver.wait_until(lambda: ram.read_u32(at) == 1, "a context that waits")

        return commands, begun, lambda: ram.write_u32(at + 4, 1)

    def wait_events(self, count: int) -> None:
        ports = self.driver.ports[self.engine]
        self.driver.wait_until(lambda: len(ports.history) >= count, f"{count} events")

    def events(self) -> list[tuple[int, int]]:
        self.driver.wait_idle()
        return self.driver.ports[self.engine].history


def single(bench: Bench) -> object:
    bench.driver.wait(bench.driver.run(bench.context()))
    return bench.events()


def again_and_again(bench: Bench) -> object:
    """More events than the buffer has entries."""
    context = bench.context()
    for _ in range(7):
        bench.driver.wait(bench.driver.run(context))
        bench.driver.wait_idle()
    return bench.events()


def two_elements(bench: Bench) -> object:
    driver, contexts = bench.driver, [bench.context(), bench.context()]
    requests = [driver.add_request(context) for context in contexts]
    driver.submit(*contexts)
    driver.wait(*requests)
    return bench.events()


def empty_ring(bench: Bench) -> object:
    bench.driver.schedule(bench.context())
    bench.wait_events(2)
    return bench.events()


def lite_restore(bench: Bench) -> object:
    driver, context = bench.driver, bench.context()
    wait, begun, go_on = bench.wait_command()
    first = driver.run(context, wait)
    begun()
    bench.wait_events(1)
    second = driver.run(context)
    bench.wait_events(2)
    assert not driver.done(first)
    go_on()
    driver.wait(first, second)
    return bench.events()


def lite_restore_with_another_behind(bench: Bench) -> object:
    driver, context, other = bench.driver, bench.context(), bench.context()
    wait, begun, go_on = bench.wait_command()
    first = driver.run(context, wait)
    begun()
    bench.wait_events(1)
    second = driver.run(other)
    bench.wait_events(2)
    go_on()
    driver.wait(first, second)
    return bench.events()


def lite_restore_in_a_batch(bench: Bench) -> object:
    driver, context = bench.driver, bench.context()
    page = context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    first = driver.run(context, batch_start(BATCH))
    bench.wait_events(1)
    second = driver.run(context)
    bench.wait_events(2)
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    driver.wait(first, second)
    return bench.events()


def preempted_at_a_wait(bench: Bench) -> object:
    driver, low, high = bench.driver, bench.context(), bench.context(1)
    wait, begun, go_on = bench.wait_command()
    first = driver.run(low, wait)
    begun()
    bench.wait_events(1)
    driver.wait(driver.run(high))
    bench.wait_events(3)
    assert not driver.done(first)
    go_on()
    driver.wait(first)
    return bench.events()


def preempted_in_a_batch(bench: Bench) -> object:
    driver, low, high = bench.driver, bench.context(), bench.context(1)
    page = low.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    first = driver.run(low, batch_start(BATCH))
    bench.wait_events(1)
    for round_ in range(3):
        driver.wait(driver.run(high))
        bench.wait_events(1 + 2 * (round_ + 1))
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    driver.wait(first)
    return bench.events()


def preempted_in_a_privileged_batch(bench: Bench) -> object:
    """It goes on where it was, wherever the mediator keeps its copy."""
    driver, low, high = bench.driver, bench.context(), bench.context(1)
    wait, begun, go_on = bench.wait_command()
    page = driver.ram.allocate()
    address = driver.ggtt_map(page)
    gpr = ENGINE_BASES[bench.engine] + 0x600
    driver.ram.write_u32(page, *load_register((gpr, 1)), *wait, MI_BATCH_BUFFER_END)
    first = driver.run(low, batch_start(address, ggtt=True))
    begun()
    bench.wait_events(1)
    driver.wait(driver.run(high))
    bench.wait_events(3)
    go_on()
    driver.wait(first)
    return bench.events()


def two_elements_preempted(bench: Bench) -> object:
    driver, first, second, high = bench.driver, bench.context(), bench.context(), bench.context(1)
    wait, begun, go_on = bench.wait_command()
    requests = [driver.add_request(first, wait), driver.add_request(second)]
    driver.submit(first, second)
    begun()
    bench.wait_events(1)
    driver.wait(driver.run(high))
    bench.wait_events(4)
    go_on()
    driver.wait(*requests)
    return bench.events()


def preempted_by_the_preempted(bench: Bench) -> object:
    """Three deep: low, then middle, then high wait; they go on in the order of priority."""
    driver = bench.driver
    requests: list[Request] = []
    releases = []
    for priority in range(3):
        wait, begun, go_on = bench.wait_command()
        requests.append(driver.run(bench.context(priority), wait))
        releases.append(go_on)
        begun()
        bench.wait_events(priority + 1)
    for release, events in zip(reversed(releases), (5, 6, 7), strict=True):
        release()
        driver.wait(requests.pop())
        bench.wait_events(events)
    return bench.events()


def arbitration_off(bench: Bench) -> object:
    """A list that comes while switching is forbidden has to wait until it is not."""
    driver, context, other = bench.driver, bench.context(), bench.context(1)
    wait, begun, go_on = bench.wait_command()
    first = driver.run(context, [MI_ARB_OFF, *wait, MI_ARB_ON])
    begun()
    bench.wait_events(1)
    second = driver.run(other)
    driver.engine_read(bench.engine, 0x9C)  # what is posted has arrived after it
    assert not driver.done(second)
    go_on()
    driver.wait(first, second)
    return bench.events()


def busy_wait_of_i915(bench: Bench) -> object:
    """Preempt-to-busy: requests end in a wait that the driver sets while it changes its mind."""
    driver, context, other = bench.driver, bench.context(), bench.context(1)
    ram, busy = driver.ram, bench.flags + 0x800
    wait, begun, go_on = bench.wait_command()
    at_end = [MI_ARB_CHECK, *semaphore_wait(bench.flags_ggtt + 0x800, 0, ggtt=True), MI_NOOP]
    first = driver.add_request(context, wait)
    driver.emit(context, [MI_ARB_ON, *at_end])
    driver.schedule(context)
    begun()
    bench.wait_events(1)
    ram.write_u32(busy, 1)
    go_on()
    driver.wait(first)  # done, but its context stays in the wait
    second = driver.run(other)
    bench.wait_events(2)
    ram.write_u32(busy, 0)
    driver.wait(second)
    return bench.events()


def switch_at_a_wait(bench: Bench) -> object:
    """A context that does not inhibit it lets the next element run; the driver runs it again."""
    driver, first, second = bench.driver, bench.context(), bench.context()
    driver.ram.write_u32(first.value(ImageIndex.CONTEXT_CONTROL), SYNC_SWITCH)
    wait, begun, go_on = bench.wait_command()
    requests = [driver.add_request(first, wait), driver.add_request(second)]
    driver.submit(first, second)
    begun()
    driver.wait(requests[1])
    bench.wait_events(3)
    go_on()
    driver.schedule(first)
    driver.wait(requests[0])
    return bench.events()


def registers_at_a_wait(bench: Bench) -> object:
    """What a driver can read of an engine that stands in the middle of a batch."""
    driver, context = bench.driver, bench.context()
    wait, begun, go_on = bench.wait_command()
    page = driver.ram.allocate()
    address = driver.ggtt_map(page)
    driver.ram.write_u32(page, *wait, MI_BATCH_BUFFER_END)
    request = driver.run(context, batch_start(address, ggtt=True))
    begun()
    bench.wait_events(1)
    read = driver.engine_read
    control = ENGINE_BASES[bench.engine] + 0x3C
    driver.wait_register(control, 1 << 10, 1 << 10)
    at_the_wait = (address & 0xFFF) + 0x10
    driver.wait_register(ENGINE_BASES[bench.engine] + 0x74, 0xFFF, at_the_wait)
    names = (0x30, 0x34, 0x38, 0x3C, 0x74, 0x5C, 0x110, 0x140, 0x168, 0x234, 0x238, 0x9C)
    dump = {hex(offset): hex(read(bench.engine, offset)) for offset in names}
    go_on()
    driver.wait(request)
    return dump, bench.events()


def registers_when_idle(bench: Bench) -> object:
    driver = bench.driver
    driver.wait(driver.run(bench.context()))
    driver.wait_idle()
    mirror = [driver.engine_read(bench.engine, 0x370 + 4 * n) for n in range(4)]
    names = (0x234, 0x238, 0x9C, 0x3A0, 0xB0)
    return mirror, [hex(driver.engine_read(bench.engine, offset)) for offset in names]


SCENARIOS = [
    single,
    again_and_again,
    two_elements,
    empty_ring,
    lite_restore,
    lite_restore_with_another_behind,
    lite_restore_in_a_batch,
    preempted_at_a_wait,
    preempted_in_a_batch,
    preempted_in_a_privileged_batch,
    two_elements_preempted,
    preempted_by_the_preempted,
    arbitration_off,
    busy_wait_of_i915,
    switch_at_a_wait,
    registers_at_a_wait,
    registers_when_idle,
]


def observe(mode: Mode, scenario: Callable[[Bench], object], engine: str) -> object:
    with (
        TemporaryDirectory() as directory,
        rig(Path(directory), mode) as made,
        made.guest() as guest,
    ):
        return scenario(Bench(guest.driver, engine))


@cache
def natively(scenario: Callable[[Bench], object], engine: str) -> object:
    return observe(NATIVE, scenario, engine)


@pytest.mark.parametrize("engine", ["rcs0", "vcs0"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("mode", cases(PAIR, quick=[DIRECT], strict=[]), ids=str)
def test_as_natively(mode: Mode, scenario: Callable[[Bench], object], engine: str) -> None:
    assert observe(mode, scenario, engine) == natively(scenario, engine)
