"""Data ports: every function with every control on memory that is there, C against the twins."""

from __future__ import annotations

import struct
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from mediator.softgpu.eu.message_port import Call
from mediator.softgpu.eu.messages.python_messages import PythonMessages
from tests.unit.mediator.message_bench import (
    BASE,
    BASES,
    PAGE,
    STATES,
    buffer_state,
    call,
    world,
)

native: Any = pytest.importorskip("mediator.softgpu.eu.messages.native_messages")
LIMITED = replace(BASES, general_size=0xC04, bindless=STATES + 0xE00, bindless_size=3 * 64)
"""Scratch space and stateless messages end within the first page."""
SIZE = 0x200
"""Of the buffer that messages reach into: not all of them stay within."""
TABLE, BINDLESS, LOCAL, STATELESS = 2, 252, 254, 255
PORTS = {12: 32, 10: 32, 9: 16, 4: 16}
"""Shared functions that move data, and how many types of message their descriptors tell apart."""
PARTS = 4
NONE = 12
"""So many of its messages that are none tell that a type is none."""
OFFSETS = (0, 4, 8, 1, 2, 3, 16, 60, SIZE - 4, SIZE - 8, SIZE - 1, SIZE, 1 << 16, 0x1000_0010)


def _words(random: Random, count: int, *, addresses: bool) -> bytes:
    """Offsets near the edges, or addresses, with others' offsets behind them as data."""
    steps = [random.choice(OFFSETS[:12]) for _ in range(count)]
    if random.random() < 0.3:
        steps = [steps[0] + 4 * n for n in range(count)]
    if not addresses:
        more = [random.choice([*OFFSETS, -4, random.getrandbits(32)]) for _ in range(count)]
        mixed = [b if random.random() < 0.1 else a for a, b in zip(steps, more, strict=True)]
        return struct.pack(f"<{count}I", *(each & 0xFFFF_FFFF for each in mixed))
    high = random.choice([0, 0, 0xFFFF << 48])  # which does not count
    return struct.pack(f"<{count}Q", *(BASE + each | high for each in steps))


def _call(random: Random, sfid: int, kind: int, control: int) -> Call:
    scratch = sfid == 10 and kind & 16
    index = random.choice([TABLE, TABLE, LOCAL, LOCAL, STATELESS, 253, BINDLESS, 240, 1])
    if scratch:  # both are parts of its offset, in registers
        index = random.choice([0, 1, 30, 31, 60, 95, 96, 0xFF])
        control &= random.choice([0x30, 0x30, 0x30, 0x3F])
    wide = sfid == 12 and kind & 16 and kind != 0x1B
    header = random.random() < 0.5 or bool(scratch) or (sfid != 12 and kind in {0, 1, 8})
    words = [0] * 8
    if header:
        at = BASE + random.choice(OFFSETS[:12])
        words[:2] = at & 0xFFFF_FFFF, at >> 32
        words[2] = random.choice([0, 0, 1, 4, 30, 31, 32]) if wide or not kind & 1 else 4
        words[3] = random.choice([0, 1, 15])
        words[5] = random.choice([0, 0, 0x400, 0x400 | 3, 0x800, 0xC00, 0x1000])
        words[7] = random.choice([0xFFFF, 0xF0F5])
    payload = _words(random, random.choice([8, 16]), addresses=bool(wide))
    data = struct.pack("<64I", *(random.choice([0, 1, random.getrandbits(32)]) for _ in range(64)))
    payload = (struct.pack("<8I", *words) if header else b"") + payload
    more = b""
    if random.random() < 0.5:
        payload = (payload + data)[: 15 * 32]
    else:
        more = data
    made = call(
        sfid,
        kind << 14 | control << 8 | index,
        payload,
        random.choice([1, 4, 8, 16, 16]),
        random.choice([0xFFFF, 0xFFFF, 0xFF, 0xA5C3]),
        more=more,
        header=header,
    )
    if index != BINDLESS:
        return made
    number = random.choice([0, 1, 2, 3, 1 << 19])
    extended = made.extended | number << 12
    return replace(made, extended=extended)


def _play(answering: Any, sfid: int, part: int) -> list[tuple[Any, ...]]:
    random = Random(f"{sfid}{part}")
    found: list[tuple[Any, ...]] = []
    with world() as made:
        made.put(BASE, random.randbytes(2 * PAGE))
        made.bind(TABLE, buffer_state(BASE + 0x40, SIZE))
        for number in range(4):  # the last one lies behind the end of what is bindless
            made.put(LIMITED.bindless + 64 * number, buffer_state(BASE + 0x80 * number, SIZE))
        messages = answering(made.space, LIMITED, 0x300)
        for kind in range(part, PORTS[sfid], PARTS):
            for number, control in enumerate(random.sample(range(64), 64)):
                sent = _call(random, sfid, kind, control)
                fault = messages.send(sent)
                answer = None if fault else sent.response.tobytes().hex()
                found.append((sfid, hex(kind), hex(sent.descriptor), answer, fault))
                if fault is not None:  # and would go on being one
                    messages = answering(made.space, LIMITED, 0x300)
                    if number >= NONE and all(each[4] for each in found[-NONE:]):
                        break  # of a type that is none
            found.append((made.get(BASE, 12 * PAGE).hex(),))
    return found


@pytest.mark.parametrize("sfid", PORTS)
@pytest.mark.parametrize("part", range(PARTS))
def test_c_and_twins_agree_about_every_function(sfid: int, part: int) -> None:
    by_c, by_python = _play(native.NativeMessages, sfid, part), _play(PythonMessages, sfid, part)
    for c, python in zip(by_c, by_python, strict=True):
        assert c == python
    answers = {each[3] for each in by_c if len(each) > 1}
    assert len(answers) > 3, "they are of something"
