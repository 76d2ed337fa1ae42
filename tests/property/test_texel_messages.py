"""Sampler, typed messages and media blocks on surfaces that are whole: C and twins agree."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from mediator.softgpu.eu.message_port import Call, Messages
from tests.property import texel_world as texels
from tests.unit.mediator.message_bench import (
    BASE,
    BASES,
    PAGE,
    World,
    call,
    native_messages,
    python_messages,
    world,
)

pytest.importorskip("mediator.softgpu.eu.native.worker")
PORT_1, SAMPLER = 12, 2
SURFACES = 12
"""Of a kind."""


def _calls(random: Random, shape: texels.Shape, what: str) -> Iterator[Call]:
    if what == "sampler":
        for kind in texels.KINDS:
            function, payload, response, mask, header = texels.sample(random, shape, kind)
            yield call(SAMPLER, function, payload, response, mask, header=header)
        return
    for draw in (*[texels.typed] * 12, *[texels.media] * 3):
        function, payload, more, response, mask, header = draw(random, shape)
        yield call(PORT_1, function, payload, response, mask, more=more, header=header)


def _play(
    make: Callable[[World], Messages], random: Random, kind: int, what: str
) -> list[tuple[Any, ...]]:
    """The same messages as ever for ``random``: of each what it was and what came of it."""
    found: list[tuple[Any, ...]] = []
    with world() as made:
        made.repeat(texels.DATA_PAGES)
        made.put(BASE, texels.noise(random))
        for place in texels.BORDER_PLACES:
            colour = struct.pack("<4f", 0.25 + place, 0.5, 0.75, 2.0)
            made.put(BASES.dynamic + place, colour)
        messages = make(made)
        for _ in range(SURFACES):
            shape, state = texels.surface(random, kind)
            made.bind(0, state)
            for table in (BASES.sampler_table, BASES.dynamic + texels.TABLE):
                made.put(table, b"".join(texels.sampler(random) for _ in range(2)))
            for sent in _calls(random, shape, what):
                fault = messages.send(sent)
                if fault is not None:  # and would go on being one
                    messages = make(made)
                answer = None if fault else sent.response.tobytes().hex()
                found.append((hex(sent.descriptor), shape, state.hex(), answer, fault))
        found.append((made.get(BASE, texels.DATA_PAGES * PAGE).hex(),))
    return found


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("what", ["sampler", "typed"])
def test_c_and_twins_agree_about_texels(kind: int, what: str) -> None:
    by_c, by_python = (
        _play(make, Random(f"{kind}{what}"), kind, what)
        for make in (native_messages, python_messages)
    )
    for c, python in zip(by_c, by_python, strict=True):
        assert c == python
    faults = [each for each in by_c[:-1] if each[4] is not None]
    assert all(each[4].address is None for each in faults), "no page is missing"
    assert len(faults) < len(by_c) // 2
    answers = {each[3] for each in by_c[:-1]}
    assert len(answers) > len(by_c) // 8, "they are of something"
