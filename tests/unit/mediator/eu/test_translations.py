"""Compiled kernels: asked for, waited for, kept, given up, and not waited for in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.translator.cache import DiskCache
from mediator.softgpu.eu.translator.linker import Linked, LinkError
from mediator.softgpu.eu.translator.process import ProcessDied
from mediator.softgpu.eu.translator.translations import (
    KernelCode,
    TranslationLimits,
    Translations,
)
from mediator.softgpu.eu.translator.wire import Reply, Status

LONG = 60.0


class FakeCompiler:
    """Answers as ``answer`` says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[bytes], Reply]) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.stopped = False

    def compile(self, code: bytes, entry: int, simd: int, *, pair: bool) -> Reply:
        self.asked.append(code + b" pair" if pair else code)
        return self.answer(code)

    def stop(self) -> None:
        self.stopped = True


class FakeLinker:
    """Everything links, but b"bad"; b"worse" is not foreseen."""

    def link(self, content: bytes, *, pair: bool) -> Linked:
        if content == b"bad":
            raise LinkError("no")
        if content == b"worse":
            raise KeyError("nobody thought of this")
        return Linked(len(content), len(content), None)


def made(code: bytes) -> Reply:
    return Reply(Status.OBJECT, 0.5, b"object of " + code)


def kernel(code: bytes) -> KernelCode:
    return KernelCode(code, 0, 16)


def opened(
    compiler: FakeCompiler,
    disk: DiskCache | None = None,
    limits: TranslationLimits | None = None,
    versions: bytes = b"1",
) -> Translations:
    return Translations(compiler, FakeLinker(), disk, versions, limits)


def test_a_kernel_is_compiled_once() -> None:
    compiler = FakeCompiler(made)
    translations = opened(compiler)
    found = translations.wait(kernel(b"a"), LONG)
    assert found is not None
    assert translations.get(kernel(b"a")) is found
    assert compiler.asked == [b"a"]
    counters = translations.counters
    assert (counters.compilations, counters.memory_hits, counters.seconds) == (1, 1, 0.5)
    translations.close()
    assert compiler.stopped


def test_asking_does_not_wait() -> None:
    allowed = threading.Event()

    def slow(code: bytes) -> Reply:
        allowed.wait(LONG)
        return made(code)

    translations = opened(FakeCompiler(slow))
    assert translations.get(kernel(b"a")) is None
    assert translations.get(kernel(b"a")) is None
    assert translations.pending == 1
    allowed.set()
    assert translations.wait(kernel(b"a"), LONG) is not None
    assert translations.counters.requests == 1
    translations.close()


def test_width_and_entry_make_another_kernel() -> None:
    digests = {KernelCode(b"a", 0, 8).digest, KernelCode(b"a", 0, 16).digest}
    digests |= {KernelCode(b"a", 16, 8).digest, KernelCode(b"b", 0, 8).digest}
    digests.add(KernelCode(b"a", 0, 8, pair=True).digest)
    assert len(digests) == 5


def test_pairs_keep_nobody_from_what_is_quick() -> None:
    allowed = threading.Event()

    def slow(code: bytes) -> Reply:
        allowed.wait(LONG)
        return made(code)

    quick, patient = FakeCompiler(made), FakeCompiler(slow)
    translations = Translations(quick, FakeLinker(), patient=patient)
    pair = KernelCode(b"a", 0, 16, pair=True)
    translations.get(pair)
    for code in (b"b", b"a"):
        assert translations.wait(kernel(code), LONG) is not None
    assert translations.get(pair) is None
    allowed.set()
    assert translations.wait(pair, LONG) is not None
    assert (quick.asked, patient.asked) == ([b"b", b"a"], [b"a pair"])
    translations.close()


@pytest.mark.parametrize(("gap", "known"), [(4096, True), (1 << 16, True), (66_000, False)])
def test_a_program_with_wide_gaps_has_no_image(gap: int, *, known: bool) -> None:
    """Of two instructions it would be as long as a program may be, and a thousand are kept."""
    asm = Assembler(compacting=False)
    asm.jmpi("far")
    asm.raw(bytes(-(-gap // 16) * 16))
    asm.label("far")
    asm.end()
    found = KernelCode.of(Program.of(asm.code()), 8)
    assert len(found.code) == (32 + gap if known else 0)


def test_what_is_refused_is_not_tried_again() -> None:
    compiler = FakeCompiler(lambda code: Reply(Status.REFUSED, 0.1, b"too large"))
    translations = opened(compiler)
    for _ in range(3):
        assert translations.wait(kernel(b"a"), LONG) is None
    assert compiler.asked == [b"a"]
    assert translations.reason(kernel(b"a")) == "too large"
    assert (translations.counters.refusals, translations.counters.failures) == (1, 1)
    translations.close()


def test_a_death_is_counted_and_tried_once_more() -> None:
    deaths = [ProcessDied("gone")]

    def dies_first(code: bytes) -> Reply:
        if deaths:
            raise deaths.pop()
        return made(code)

    translations = opened(FakeCompiler(dies_first))
    assert translations.wait(kernel(b"a"), LONG) is not None
    assert translations.counters.deaths == 1
    translations.close()


@pytest.mark.parametrize("late", [False, True])
def test_a_kernel_that_always_kills_the_compiler_is_left_alone(late: bool) -> None:
    def dies(code: bytes) -> Reply:
        if code == b"a":
            raise ProcessDied("gone", late=late)
        return made(code)

    compiler = FakeCompiler(dies)
    translations = opened(compiler)
    for _ in range(3):
        assert translations.wait(kernel(b"a"), LONG) is None
    assert len(compiler.asked) == (1 if late else 2)
    assert translations.wait(kernel(b"b"), LONG) is not None
    counters = translations.counters
    assert (counters.deaths, counters.timeouts) == ((0, 1) if late else (2, 0))
    translations.close()


def test_an_object_that_does_not_link_fails() -> None:
    translations = opened(FakeCompiler(lambda code: Reply(Status.OBJECT, 0.0, b"bad")))
    assert translations.wait(kernel(b"a"), LONG) is None
    assert "not linked" in (translations.reason(kernel(b"a")) or "")
    translations.close()


def test_what_nobody_foresaw_costs_one_kernel() -> None:
    """Not those that come after it: one thread serves all guests."""
    compiler = FakeCompiler(lambda code: Reply(Status.OBJECT, 0.0, code))
    translations = opened(compiler)
    assert translations.wait(kernel(b"worse"), LONG) is None
    assert "nobody thought of this" in (translations.reason(kernel(b"worse")) or "")
    assert translations.wait(kernel(b"good"), LONG) is not None
    assert (translations.counters.failures, translations.pending) == (1, 0)
    translations.close()


def test_the_disk_spares_the_compiler(tmp_path: Path) -> None:
    first, second, third = (FakeCompiler(made) for _ in range(3))
    for compiler, versions in ((first, b"1"), (second, b"1"), (third, b"2")):
        translations = opened(compiler, DiskCache(tmp_path), versions=versions)
        assert translations.wait(kernel(b"a"), LONG) is not None
        translations.close()
    assert (first.asked, second.asked, third.asked) == ([b"a"], [], [b"a"])


def test_owners_take_turns_and_a_flood_is_dropped() -> None:
    allowed = threading.Event()

    def slow(code: bytes) -> Reply:
        allowed.wait(LONG)
        return made(code)

    compiler = FakeCompiler(slow)
    translations = opened(compiler, limits=TranslationLimits(pending=4))
    for number in range(20):
        translations.get(kernel(bytes([number])), owner="flood")
    translations.get(kernel(b"other"), owner="other")
    assert translations.counters.dropped > 0
    allowed.set()
    assert translations.wait(kernel(b"other"), LONG, owner="other") is not None
    assert compiler.asked.index(b"other") <= 2
    translations.close()


def test_a_kernel_that_a_flood_wants_too_has_the_turn_of_each() -> None:
    allowed = threading.Event()

    def slow(code: bytes) -> Reply:
        allowed.wait(LONG)
        return made(code)

    compiler = FakeCompiler(slow)
    translations = opened(compiler)
    for number in range(20):
        translations.get(kernel(bytes([number])), owner="flood")
    for owner in ("flood", "other", "other"):
        translations.get(kernel(b"common"), owner)
    assert (translations.pending, translations.counters.requests) == (21, 21)
    allowed.set()
    assert translations.wait(kernel(b"common"), LONG, owner="other") is not None
    assert translations.wait(kernel(bytes([19])), LONG, owner="flood") is not None
    assert compiler.asked.index(b"common") <= 2
    assert len(compiler.asked) == 21
    translations.close()


def dies_of_bombs(code: bytes) -> Reply:
    if code.startswith(b"bomb"):
        raise ProcessDied("out of time")
    return made(code)


def with_patient(
    patient: FakeCompiler, limits: TranslationLimits | None = None
) -> tuple[FakeCompiler, Translations]:
    """The quick compiler dies of bombs."""
    quick = FakeCompiler(dies_of_bombs)
    return quick, Translations(quick, FakeLinker(), None, b"1", limits, patient=patient)


@pytest.mark.parametrize("late", [False, True])
def test_what_takes_long_is_left_to_who_has_more_time(late: bool) -> None:
    patient = FakeCompiler(made)
    quick, translations = with_patient(patient)

    def dies(code: bytes) -> Reply:
        raise ProcessDied("out of time", late=late)

    quick.answer = dies
    assert translations.wait(kernel(b"bomb"), LONG) is not None
    assert (quick.asked, patient.asked) == ([b"bomb"], [b"bomb"])
    assert (translations.counters.deaths, translations.counters.timeouts) == (not late, late)
    translations.close()
    assert quick.stopped
    assert patient.stopped


def test_nobodys_kernels_wait_behind_those_that_take_long() -> None:
    allowed = threading.Event()

    def slow(code: bytes) -> Reply:
        allowed.wait(LONG)
        return made(code)

    patient = FakeCompiler(slow)
    quick, translations = with_patient(patient)
    for number in range(5):
        translations.get(kernel(b"bomb %d" % number), owner="enemy")
    for number in range(5):
        assert translations.wait(kernel(bytes([number])), LONG, owner="other") is not None
    assert len(patient.asked) <= 1, "it is at the first one yet"
    allowed.set()
    assert translations.wait(kernel(b"bomb 4"), LONG, owner="enemy") is not None
    assert sorted(quick.asked[:10]) == sorted(set(quick.asked)), "each once"
    translations.close()


def test_what_takes_too_long_for_both_is_given_up() -> None:
    patient = FakeCompiler(dies_of_bombs)
    quick, translations = with_patient(patient)
    for _ in range(2):
        assert translations.wait(kernel(b"bomb"), LONG) is None
    assert (quick.asked, patient.asked) == ([b"bomb"], [b"bomb"])
    assert translations.reason(kernel(b"bomb")) == "out of time"
    assert (translations.counters.deaths, translations.counters.failures) == (2, 1)
    assert translations.pending == 0
    translations.close()


def test_a_flood_of_what_takes_long_is_given_up_but_for_what_others_want_too() -> None:
    allowed = threading.Event()

    def slow(code: bytes) -> Reply:
        allowed.wait(LONG)
        return made(code)

    _, translations = with_patient(FakeCompiler(slow), TranslationLimits(pending=2))
    bombs = [kernel(b"bomb %d" % number) for number in range(6)]
    for bomb in bombs:
        # The quick one answers at once, so the enemy's queue there is never long.
        translations.wait(bomb, 0.2, owner="enemy")
    given_up = [bomb for bomb in bombs if translations.reason(bomb)]
    assert given_up == bombs[3:], "one is being compiled, two wait"
    assert translations.get(bombs[2], owner="other") is None
    allowed.set()
    assert translations.wait(bombs[2], LONG, owner="other") is not None
    translations.close()


def test_who_has_used_most_time_waits() -> None:
    """One after the other an enemy brings kernels that take long; another has a few of a moment."""
    steps = threading.Semaphore(0)

    def slow(code: bytes) -> Reply:
        steps.acquire(timeout=LONG)
        time.sleep(0.2 if code.startswith(b"heavy") else 0)
        return made(code)

    compiler = FakeCompiler(slow)
    translations = opened(compiler)
    for number in range(3):
        translations.get(kernel(b"heavy %d" % number), owner="enemy")
    for number in range(4):
        translations.get(kernel(bytes([number])), owner="other")
    for _ in range(7):
        steps.release()
    assert translations.wait(kernel(b"heavy 2"), LONG, owner="enemy") is not None
    assert [code[:5] for code in compiler.asked].index(b"heavy") == 0
    assert compiler.asked[1:5] == [bytes([number]) for number in range(4)]
    translations.close()


def test_kernels_not_used_make_room() -> None:
    translations = opened(FakeCompiler(made), limits=TranslationLimits(kernels=2))
    for code in (b"a", b"b", b"a", b"c"):
        assert translations.wait(kernel(code), LONG) is not None
        translations.get(kernel(code))
    assert translations.kept == 2
    assert translations.counters.evictions == 1
    assert translations.get(kernel(b"a")) is not None
    translations.close()


def test_as_much_is_kept_as_has_room() -> None:
    """To the byte; the object used last stays whatever its size."""
    size = len(b"object of a")
    limits = TranslationLimits(kept_bytes=2 * size)
    translations = opened(FakeCompiler(made), limits=limits)
    for code, kept in ((b"a", 1), (b"b", 2), (b"c", 2), (bytes(99), 1)):
        assert translations.wait(kernel(code), LONG) is not None
        assert translations.kept == kept
    translations.close()


def test_closing_lets_those_who_wait_go() -> None:
    allowed = threading.Event()

    def slow(code: bytes) -> Reply:
        allowed.wait(LONG)
        return made(code)

    translations = opened(FakeCompiler(slow))
    translations.get(kernel(b"a"))
    translations.get(kernel(b"b"))
    allowed.set()
    translations.close()
    assert translations.get(kernel(b"c")) is None
    assert translations.wait(kernel(b"c"), LONG) is None
