"""The audit of user batches on the blitter: what its hardware would let pass, and must not."""

from __future__ import annotations

from array import array

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.commands import decode
from mediator.workload.audit_rules import RULES
from mediator.workload.command_scanner import scan
from mediator.workload.command_stream import Counts, Stream
from mediator.workload.view import RegisterUse
from tests.unit.mediator.audit_bench import BATCH_END, FOREIGN, NOOP, SCRATCH, VALUE, FakeView

GGTT = 1 << 22
GPR, SWCTRL, NOPID, TIMESTAMP = 0x22600, 0x22200, 0x22094, 0x22358
ELSP, HWS_PGA, GFX_MODE, RCS_GPR = 0x22230, 0x22080, 0x2229C, 0x2600
LRI, LRM, LRR, SRM = 0x22 << 23 | 1, 0x29 << 23 | 2, 0x2A << 23 | 1, 0x24 << 23 | 2
STORE, STORE_INDEX, UPDATE_GTT = 0x20 << 23 | 2, 0x21 << 23 | 1, 0x23 << 23 | 2
SEMAPHORE, COPY, ATOMIC, CLFLUSH = 0x1C << 23 | 2, 0x2E << 23 | 3, 0x2F << 23 | 1, 0x27 << 23 | 1
REPORT, END_IF, FLUSH = 0x28 << 23 | 2, 0x36 << 23 | 2, 0x26 << 23 | 3
FORBIDDEN = [ELSP, HWS_PGA, GFX_MODE, RCS_GPR, 0x22244, 0x224D0, 0x2098, 0x941C, 0x1F_FFFC]
"""Submission, status page, mode, another engine's, control, a slot, MI_MODE, GDRST, none."""
ADDRESS = 0x1234_5670
"""In the context's own space; nothing checks it."""


def view() -> FakeView:
    return FakeView(engine_class="BCS", copies_user_batches=True)


def audited(commands: list[int], looking: FakeView | None = None) -> tuple[list[int], Stream]:
    """``commands`` as a user's batch, after the audit."""
    dwords = array("I", [*commands, BATCH_END])
    stream = Stream(looking or view(), Counts(), "batch", in_ring=False, user=True, dwords=dwords)
    scan(stream, lambda _end: False)
    assert dwords[-1] == BATCH_END
    return dwords[:-1].tolist(), stream


@pytest.mark.parametrize("register", FORBIDDEN)
@pytest.mark.parametrize(
    "command",
    [
        lambda register: [LRI, register, 1],
        lambda register: [LRI | 1 << 8, register, 1],
        lambda register: [LRI, register | 0x8000_0003, 1],
        lambda register: [LRM, register, ADDRESS, 0],
        lambda register: [LRR, GPR, register],
        lambda register: [LRR, TIMESTAMP, register],
    ],
    ids=["LRI", "some bytes", "bits that do not count", "LRM", "LRR", "of a time"],
)
def test_no_write_of_a_register_that_is_not_the_users(register: int, command: object) -> None:
    dwords = command(register)  # type: ignore[operator]
    found, stream = audited(dwords)
    assert found == [NOOP] * len(dwords)
    assert [reason for reason, _ in stream.view.rejected] == ["register"]  # type: ignore[attr-defined]
    assert stream.counts.dropped == 1


@pytest.mark.parametrize("register", [GPR, GPR + 0x7C, SWCTRL, NOPID])
def test_registers_of_the_user_are_written(register: int) -> None:
    commands = [LRI, register, 1, LRM, register, ADDRESS, 0, LRR, TIMESTAMP, register]
    found, stream = audited(commands)
    assert found == commands
    assert stream.counts.dropped == 0


def test_what_is_allowed_of_a_load_stays() -> None:
    found, stream = audited([LRI + 4, GPR, 1, ELSP, 2, SWCTRL, 3])
    assert found == [LRI + 2, GPR, 1, SWCTRL, 3, NOOP, NOOP]
    assert stream.counts.dropped == 1


def test_a_virtual_register_is_not_written() -> None:
    """A user's batch changes nothing of the control block, whatever its kernel may."""
    looking = view()
    looking.policy[0x220A0] = RegisterUse.VIRTUAL
    looking.values[0x220A0] = VALUE
    found, _ = audited([LRI, 0x220A0, 1, LRR, GPR, 0x220A0], looking)
    assert found == [NOOP] * 6
    assert looking.values[0x220A0] == VALUE


def test_registers_are_read_as_by_others() -> None:
    """What is the hardware's to give, or the vGPU's; the mediator's own is nobody's."""
    found, stream = audited(
        [SRM, TIMESTAMP, ADDRESS, 0, SRM, HWS_PGA, ADDRESS, 0, LRR, HWS_PGA, GPR]
    )
    page = stream.view.register_read(HWS_PGA)[1]
    assert found == [SRM, TIMESTAMP, ADDRESS, 0, STORE, ADDRESS, 0, page, LRI, GPR, page]
    looking = view()
    looking.policy[ELSP] = RegisterUse.REFUSED
    assert audited([SRM, ELSP, ADDRESS, 0], looking)[0] == [STORE, ADDRESS, 0, 0]
    assert looking.rejected


@pytest.mark.parametrize(
    "command",
    [
        [STORE | GGTT, SCRATCH, 0, 1],
        [STORE | GGTT, FOREIGN, 0, 1],
        [STORE | GGTT | 1 << 21 | 1, SCRATCH, 0, 1, 2],
        [SRM | GGTT, TIMESTAMP, SCRATCH, 0],
        [LRM | GGTT, GPR, SCRATCH, 0],
        [SEMAPHORE | GGTT, 1, SCRATCH, 0],
        [COPY | GGTT, SCRATCH, 0, ADDRESS, 0],
        [COPY | 1 << 21, ADDRESS, 0, SCRATCH, 0],
        [ATOMIC | GGTT, SCRATCH, 0],
        [CLFLUSH | GGTT, SCRATCH, 0],
        [REPORT, SCRATCH | 1, 0, 7],
        [END_IF | 1 << 21 | GGTT, 0, SCRATCH, 0],
    ],
)
def test_what_asks_for_the_ggtt_does_nothing_as_on_hardware(command: list[int]) -> None:
    found, stream = audited(command)
    assert found == [NOOP] * len(command)
    assert stream.counts.dropped == 0


@pytest.mark.parametrize(
    "command",
    [
        [STORE_INDEX, 0x100, 1],
        [STORE_INDEX | 1 << 21, 0x100, 1],
        [UPDATE_GTT, SCRATCH, 1, 2],
        [0x08 << 23],
        [0x14 << 23 | 1, 0, 0],
        [0x12 << 23, 0],
    ],
    ids=["STORE_DATA_INDEX", "own page", "UPDATE_GTT", "ARB_ON_OFF", "FLIP", "SCAN_LINES"],
)
def test_what_needs_privilege_does_nothing(command: list[int]) -> None:
    looking = view()
    found, _ = audited(command, looking)
    assert found == [NOOP] * len(command)
    assert looking.updates == []


@pytest.mark.parametrize(
    "command",
    [
        [FLUSH | 1 << 14, SCRATCH | 4, 0, 1, 0],
        [FLUSH | 1 << 14 | 1 << 21, 0x40, 0, 1, 0],
        [FLUSH | 3 << 14 | 1 << 21 | 1 << 18, 0x40 | 4, 0, 1, 0],
    ],
    ids=["GGTT", "own status page", "engine's status page"],
)
def test_a_flush_flushes_and_writes_nothing_into_the_ggtt(command: list[int]) -> None:
    found, _ = audited(command)
    assert found == [command[0] & ~(3 << 14 | 1 << 21), *command[1:]]


@pytest.mark.parametrize(
    "command",
    [
        [STORE, ADDRESS, 0, 1],
        [SEMAPHORE, 1, ADDRESS, 0],
        [SEMAPHORE | 1 << 16, 1, TIMESTAMP, 0],
        [COPY, ADDRESS, 0, ADDRESS, 0],
        [ATOMIC, ADDRESS, 0],
        [CLFLUSH, ADDRESS, 0],
        [REPORT, ADDRESS & ~1, 0, 7],
        [END_IF | 1 << 21, 0, ADDRESS, 0],
        [FLUSH | 1 << 14, ADDRESS & ~4, 0, 1, 0],
        [2 << 29 | 0x50 << 22 | 5, *range(6)],
        [2 << 29 | 0x53 << 22 | 8, *range(9)],
        [2 << 29 | 0x42 << 22 | 8, *range(9)],
        [0x02 << 23],
        [0x05 << 23],
        [0x00 << 23 | 1 << 22 | 5],
    ],
)
def test_what_works_in_the_own_space_stays(command: list[int]) -> None:
    found, stream = audited(command)
    assert found == command
    assert not stream.patched


@pytest.mark.parametrize("command", [[0x3F << 23], [0x7A00_0003, *range(4)]])
def test_unknown_commands_are_refused(command: list[int]) -> None:
    with pytest.raises(GuestError) as caught:
        audited(command)
    assert caught.value.reason is Reason.UNKNOWN_COMMAND


def test_every_command_of_the_blitter_has_a_check_or_needs_none() -> None:
    """By header: with all operand bits set none is passed that writes a register or the GGTT."""
    passed = set()
    for key in range(1 << 16):
        found = decode(key << 16, "BCS")
        if found is None or found[0].name not in RULES:
            continue
        row = found[0]
        length = max(row.rule.length(0), row.minimum)
        header = key << 16 | length - row.rule.bias if row.rule.mask else key << 16
        command = [header, *[0xFFFF_FFFF] * (length - 1)]
        try:
            result, _ = audited(command)
        except (GuestError, AssertionError):
            continue
        if result == command:
            passed.add(row.name)
    writers = {"MI_LOAD_REGISTER_IMM", "MI_LOAD_REGISTER_MEM", "MI_LOAD_REGISTER_REG"}
    privileged = {"MI_UPDATE_GTT", "MI_STORE_DATA_INDEX", "MI_ARB_ON_OFF", "MI_DISPLAY_FLIP"}
    assert not passed & (writers | privileged)
    assert "XY_SRC_COPY_BLT" in passed


@pytest.mark.parametrize("command", [[STORE, 0, 0, 1], [COPY, 0, 0, 0, 0], [ATOMIC, 0, 0]])
def test_a_wait_for_a_register_is_a_semaphores_alone(command: list[int]) -> None:
    """In other headers its bit means something else: who asks for the GGTT there goes anyway."""
    asks = [command[0] | GGTT | 1 << 16, *command[1:]]
    assert audited(asks)[0] == [NOOP] * len(asks)
    wait = [SEMAPHORE | GGTT | 1 << 16, 1, GPR, 0]
    assert audited(wait)[0] == wait
    assert audited([SEMAPHORE | GGTT, 1, SCRATCH, 0])[0] == [NOOP] * 4
