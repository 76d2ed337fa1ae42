"""Rings that change under a context which the hardware has, and lists without shadows."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.execlist import Event
from mediator.physical.partition import slab_ggtt
from mediator.port import Load
from mediator.softgpu.strictness import Strictness
from mediator.vgpu.execlist import NO_SLOT, Element
from mediator.vgpu.vgpu import Vgpu
from tests.gpu_driver import MI_NOOP, PAGE, RING_PAGES, Context
from tests.gpu_driver.commands import (
    atomic_add,
    semaphore_wait,
    store_dword,
)
from tests.unit.mediator.dispatcher_bench import (
    Bench,
    running,
)

RING_SIZE = RING_PAGES * PAGE


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        yield made


def test_a_ring_that_wraps_before_its_end_is_served_runs_as_the_guest_wrote_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hardware is idle and the end not served: RING_HEAD reads 0 and says nothing."""
    a = bench.a
    context = a.driver.create_context("vcs0")
    _approach_the_end(bench, context)
    bench.run(a, "vcs0", [MI_NOOP] * 0xA0, context)  # round once: the copy has an old lap
    _approach_the_end(bench, context)
    request = a.driver.run(context)
    bench.hardware_does(lambda: a.driver.done(request))
    bench.hardware_idle("vcs0")
    _hold_back_last_event(bench, "vcs0", monkeypatch)
    bench.serve_status(a, "vcs0")
    assert bench.port("vcs0").has_guest
    a.driver.process()
    tail, slot = context.tail, a.vgpu.engines["vcs0"].workloads.slots[0]
    assert slot.copy.tail == tail
    at = a.driver.ggtt_map(a.driver.ram.allocate())
    store, left = store_dword(at, 0x600D, ggtt=True), RING_SIZE - tail
    a.driver.emit(context, [*store * (left // 16), *[MI_NOOP] * (left % 16 // 4)])
    a.driver.emit(context, store * 4)
    a.driver.submit(context)
    bench.until(lambda: a.engine_done("vcs0"))
    shadow = bytes(a.vgpu.slab.bytes[slot.ring + tail : slot.ring + RING_SIZE])
    assert shadow == a.driver.ram.read(context.ring + tail, RING_SIZE - tail)


def test_a_ring_rewritten_under_its_context_runs_no_command_that_was_not_audited(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hardware goes on while the audit works: nothing new may lie where it already is."""
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    context = a.driver.create_context("vcs0")
    waits = [*semaphore_wait(at, 1, ggtt=True), *semaphore_wait(at + 4, 1, ggtt=True)]
    a.driver.emit(context, [*waits, *[MI_NOOP] * 16])
    a.driver.submit(context)
    hardware = bench.hardware.engines["vcs0"]
    bench.until(lambda: bench.port("vcs0").has_guest and _head(hardware) == 0)
    a.driver.process()
    victim = slab_ggtt(2) + 0x3F000  # in the slab of the other vGPU
    attack = store_dword(victim, 0xBAD, ggtt=True)
    atomic = [*atomic_add(at + 8, 1, ggtt=True)[:3], 1, *attack, 0, 0, 0]
    a.driver.ram.write_u32(context.ring, *atomic)  # one command whose operands are another
    works = a.vgpu.engines["vcs0"].workloads
    read = works._read_ring

    def slow(*args: Any) -> bytes:
        data = read(*args)
        a.driver.ram.write_u32(page, 1)
        bench.hardware_does(lambda: _head(hardware) == 16)
        return data

    a.driver.emit(context, [MI_NOOP] * 2)
    with monkeypatch.context() as patch:
        patch.setattr(works, "_read_ring", slow)
        a.driver.submit(context)
    a.driver.ram.write_u32(page + 4, 1)
    bench.until(lambda: bench.port("vcs0").free or bool(a.vgpu.engines["vcs0"].state.hung))
    slab = bench.b.vgpu.slab
    assert slab.u32[(victim - slab.ggtt) // 4] != 0xBAD
    assert a.vgpu.counters.rejections == {}


NEVER_RAN = 0x0009_0009
"""CONTEXT_CONTROL as drivers make it."""
STORE_OF_5 = 0x20 << 23 | 1 << 22 | 6
"""MI_STORE_DATA_IMM with so many dwords, of which it stores the first."""
ARBITRATE_OFF, ARBITRATE_ON = 0x08 << 23, 0x08 << 23 | 1


@pytest.mark.parametrize("forced", [False, True], ids=["", "force restore"])
@pytest.mark.parametrize("arbitrates", [False, True], ids=["arbitration off", "arbitration on"])
def test_a_tail_that_goes_back_takes_the_context_off_first(
    bench: Bench, *, arbitrates: bool, forced: bool
) -> None:
    """As i915 takes requests back; or as an attacker does, with the hardware held in the ring.

    The hardware may be anywhere up to the old tail. Where it cannot be interrupted it goes there,
    and then round the ring, as natively.
    """
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    wait = [ARBITRATE_ON if arbitrates else ARBITRATE_OFF, *semaphore_wait(at, 1, ggtt=True)]
    context = a.driver.create_context("vcs0")
    a.driver.emit(context, [*wait, MI_NOOP])
    first = a.driver.add_request(context, store_dword(at + 8, 0x600D, ggtt=True))
    short = context.tail
    a.driver.add_request(context, store_dword(at + 12, 0xBAD, ggtt=True))
    a.driver.emit(context, [ARBITRATE_ON, MI_NOOP])  # or it would not be off at all
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest)
    a.driver.process()
    before = _shadow_ring(bench, context)
    context.tail = short
    a.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), short)
    context.forced = forced
    a.driver.submit(context)
    assert bench.port("vcs0").waiting is Load.IDLE
    assert _shadow_ring(bench, context) == before
    if arbitrates:
        bench.until(lambda: not a.vgpu.engines["vcs0"].must_leave)
        a.driver.process()
        event = a.driver.ports["vcs0"].history[-1][0]
        assert event == (Event.PREEMPTED if forced else Event.PREEMPTED | Event.LITE_RESTORE)
    a.driver.ram.write_u32(page, 1)
    bench.until(lambda: a.engine_done("vcs0"))
    assert a.driver.done(first)
    assert a.driver.ram.read_u32(page + 12) == (0 if arbitrates else 0xBAD)
    assert a.vgpu.counters.rejections == {}
    counters = a.vgpu.counters.engines["vcs0"]
    assert (counters.submitted, counters.completed + counters.preempted) == (2, 2)


def test_others_have_the_dispatchers_lock_while_a_shadow_is_built_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit takes long, and every vGPU's accesses need the lock now and then."""
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    context = a.driver.create_context("vcs0")
    a.driver.emit(context, semaphore_wait(at, 1, ggtt=True))
    short = context.tail
    a.driver.emit(context, store_dword(at + 8, 0xBAD, ggtt=True))
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest)
    a.driver.process()
    a.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), short)
    works, free = a.vgpu.engines["vcs0"].workloads, list[bool]()
    read = works._read_ring

    def ask() -> None:
        free.append(bench.dispatcher.lock.acquire(timeout=0))
        if free[-1]:
            bench.dispatcher.lock.release()

    def look(*args: Any) -> bytes:
        asking = Thread(target=ask)
        asking.start()
        asking.join()
        return read(*args)

    monkeypatch.setattr(works, "_read_ring", look)
    a.driver.submit(context)
    bench.until(lambda: not a.vgpu.engines["vcs0"].must_leave)
    assert free
    assert all(free)
    a.driver.ram.write_u32(page, 1)
    bench.until(lambda: a.engine_done("vcs0"))
    assert a.driver.ram.read_u32(page + 8) == 0
    assert a.vgpu.counters.rejections == {}


def test_a_forced_restore_of_what_runs_takes_it_off_first(bench: Bench) -> None:
    """Its image has the head at which it was restored last, a lap ago perhaps."""
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    context = a.driver.create_context("vcs0")
    a.driver.emit(context, semaphore_wait(at, 1, ggtt=True))
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest)
    a.driver.process()
    a.driver.emit(context, store_dword(at + 8, 0x600D, ggtt=True))
    context.forced = True
    a.driver.submit(context)
    assert bench.port("vcs0").waiting is Load.IDLE
    a.driver.ram.write_u32(page, 1)
    bench.until(lambda: a.engine_done("vcs0"))
    assert a.driver.ram.read_u32(page + 8) == 0x600D


def test_a_tail_that_went_back_waits_for_the_vgpus_next_slice(bench: Bench) -> None:
    """The context is off the hardware already: it is built anew at once, without the GPU."""
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    context = a.driver.create_context("vcs0")
    a.driver.emit(context, semaphore_wait(at, 1, ggtt=True))
    short = context.tail
    a.driver.emit(context, store_dword(at + 8, 0xBAD, ggtt=True))
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest)
    a.driver.process()
    bench.b.spin("rcs0")
    bench.end_slice(a)
    bench.until(lambda: bench.dispatcher.current is bench.b.vgpu)
    a.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), short)
    a.driver.submit(context)
    a.driver.process()
    assert a.driver.ports["vcs0"].history[-1][0] == Event.PREEMPTED | Event.LITE_RESTORE
    assert not a.vgpu.engines["vcs0"].must_leave
    a.driver.ram.write_u32(page, 1)
    bench.end_slice(bench.b)
    bench.until(lambda: a.engine_done("vcs0"))
    assert a.driver.ram.read_u32(page + 8) == 0


@pytest.mark.parametrize("when", ["resumed", "before"])
def test_lists_without_shadows_are_built_before_they_are_submitted(bench: Bench, when: str) -> None:
    """Both lists come from elsewhere, and the guest moves its tail while they are built."""
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    context = a.driver.create_context("vcs0")
    a.driver.emit(context, semaphore_wait(at, 1, ggtt=True))
    short = context.tail
    a.driver.emit(context, store_dword(at + 8, 0xBAD, ggtt=True))
    long = context.tail
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest)
    a.driver.process()
    bench.b.spin("rcs0")
    bench.end_slice(a)
    bench.until(lambda: bench.dispatcher.current is bench.b.vgpu)
    engine = a.vgpu.engines["vcs0"]
    engine.state.stopped = True
    a.driver.submit(context)
    engine.state.stopped = False
    with bench.locked(a):
        engine.give_up_shadows()
    submitted: list[list[int]] = []
    real = bench.dispatcher.world._submit

    def submit(vgpu: Vgpu, name: str, elements: list[Element]) -> None:
        if vgpu is a.vgpu:
            submitted.append([element.slot for element in elements])
        real(vgpu, name, elements)
        if vgpu is a.vgpu:
            a.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), short)

    bench.dispatcher.world._submit = submit  # type: ignore[method-assign]
    if when == "resumed":
        a.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), long)
    bench.end_slice(bench.b)
    bench.until(lambda: len(submitted) >= 2)
    a.driver.ram.write_u32(page, 1)
    bench.until(lambda: a.engine_done("vcs0"))
    assert all(NO_SLOT not in slots for slots in submitted)
    assert a.vgpu.counters.rejections == {}


def test_an_engine_that_is_reset_while_a_list_waits_for_it_goes_on(bench: Bench) -> None:
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    context = a.driver.create_context("vcs0")
    a.driver.emit(context, [ARBITRATE_OFF, *semaphore_wait(at, 1, ggtt=True), *[MI_NOOP] * 3])
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest)
    a.driver.process()
    a.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), 24)
    a.driver.submit(context)
    assert bench.port("vcs0").waiting is Load.IDLE
    a.driver.recover("vcs0", context)
    assert bench.port("vcs0").free
    bench.run(a, "vcs0", store_dword(at + 8, 0x600D, ggtt=True))
    assert a.driver.ram.read_u32(page + 8) == 0x600D


def test_a_context_that_ran_on_unseen_before_its_reset_starts_where_it_was_audited(
    bench: Bench,
) -> None:
    """It is saved twice, and the guest knows of the first time: what it writes then starts there.

    Where the hardware would start at the second head instead, it is within a command.
    """
    a = bench.a
    page = a.driver.ram.allocate()
    at = a.driver.ggtt_map(page)
    context = a.driver.create_context("vcs0")
    hardware = bench.hardware.engines["vcs0"]
    a.driver.emit(context, semaphore_wait(at, 1, ggtt=True))
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest and _head(hardware) == 0)
    a.driver.ram.write_u32(page, 1)
    bench.hardware_idle("vcs0")
    a.driver.emit(context, semaphore_wait(at + 4, 1, ggtt=True))
    a.driver.submit(context)
    bench.hardware_does(lambda: _head(hardware) == 16)
    assert bench.host.engines["vcs0"].has_news
    bench.serve_status(a, "vcs0")  # the first end, and the second beginning
    assert not bench.host.engines["vcs0"].has_news
    assert a.driver.ram.read_u32(context.value(ImageIndex.RING_HEAD)) == 16
    assert a.driver.ram.read_u32(context.value(ImageIndex.CONTEXT_CONTROL)) == NEVER_RAN
    a.driver.ram.write_u32(page + 4, 1)
    bench.hardware_idle("vcs0")
    a.driver.reset("vcs0")
    a.driver.start_engine("vcs0", a.driver.ggtt_map(a.driver.status_pages["vcs0"]))
    victim = slab_ggtt(2) + 0x3F000  # in the slab of the other vGPU
    context.tail = 16
    attack = store_dword(victim, 0xBAD, ggtt=True)
    a.driver.emit(context, [STORE_OF_5, at + 8, 0, 0x600D, *attack, MI_NOOP, MI_NOOP])
    a.driver.submit(context)
    bench.until(lambda: a.engine_done("vcs0"))
    slab = bench.b.vgpu.slab
    assert slab.u32[(victim - slab.ggtt) // 4] != 0xBAD
    assert a.driver.ram.read_u32(page + 8) == 0x600D
    assert a.vgpu.counters.rejections == {}


def test_a_shadow_made_anew_starts_where_it_was_audited_on_hardware_that_keeps_its_ring() -> None:
    """The guest asks for no restore of the image that it has changed since the context left."""
    with running(Bench(strictness=Strictness(idle_keeps_ring=True))) as bench:
        a = bench.a
        page = a.driver.ram.allocate()
        at = a.driver.ggtt_map(page)
        context = a.driver.create_context("vcs0")
        a.driver.emit(context, [MI_NOOP] * 4)
        a.driver.submit(context)
        bench.until(lambda: a.engine_done("vcs0"))
        victim = slab_ggtt(2) + 0x3F000  # in the slab of the other vGPU
        attack = store_dword(victim, 0xBAD, ggtt=True)
        a.driver.ram.write_u32(context.value(ImageIndex.RING_HEAD), 0)
        context.tail = 0
        a.driver.emit(context, [STORE_OF_5, at + 8, 0, 0x600D, *attack, MI_NOOP, MI_NOOP])
        a.driver.submit(context)
        bench.until(lambda: a.engine_done("vcs0"))
        slab = bench.b.vgpu.slab
        assert slab.u32[(victim - slab.ggtt) // 4] != 0xBAD
        assert a.driver.ram.read_u32(page + 8) == 0x600D
        assert a.vgpu.counters.rejections == {}


# -- parts ----------------------------------------------------------------------------------------


def _shadow_ring(bench: Bench, context: Context) -> bytes:
    workloads = bench.a.vgpu.engines[context.engine].workloads
    ring = workloads.slots[0].ring
    return bytes(bench.a.vgpu.slab.bytes[ring : ring + RING_SIZE])


def _approach_the_end(bench: Bench, context: Context) -> None:
    """Run requests until the ring's tail is near its end."""
    while context.tail < RING_SIZE - 0x200:
        bench.run(bench.a, context.engine, [MI_NOOP] * 0x30, context)


def _hold_back_last_event(bench: Bench, engine: str, patch: pytest.MonkeyPatch) -> None:
    """The next look at the status buffer comes just before its last entry, others after it."""
    host = bench.host.engines[engine]
    read, held = host.events, list[tuple[int, int]]()

    def look() -> list[tuple[int, int]]:
        patch.undo()
        *seen, last = read()
        held.append(last)
        patch.setattr(host, "events", lambda: [*_emptied(held), *read()])
        return seen

    patch.setattr(host, "events", look)


def _emptied(events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found = events[:]
    events.clear()
    return found


def _head(engine: Any) -> int | None:
    """Where the ring of what ``engine`` runs has got to."""
    context = engine.context
    return None if context is None else int(context.ring.head)
