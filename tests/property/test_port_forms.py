"""Each message of the data ports: C and its Python twins agree."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.property.message_world import both
from tests.property.page_world import Ram
from tests.property.port_forms import functions, port_scene
from tests.property.texel_scenes import WHOLE

native: Any = pytest.importorskip("mediator.softgpu.eu.native.worker")
_SCENE = 96
_PARTS = 4


@pytest.mark.parametrize("part", range(_PARTS))
def test_c_and_twin_agree(part: int) -> None:
    random = Random(part)
    chosen = list(functions())[part::_PARTS]
    random.shuffle(chosen)
    ram = Ram()
    try:
        with ram.memory.using():
            for start in range(0, len(chosen), _SCENE):
                made = port_scene(random, chosen[start : start + _SCENE])
                by_c, by_python = both(native, made, WHOLE, ram)
                for name, found in vars(by_c).items():
                    assert found == vars(by_python)[name], (name, start)
    finally:
        ram.close()
