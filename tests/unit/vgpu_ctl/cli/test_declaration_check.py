"""What of a declaration vgpud would refuse, found before anything is done."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.vgpu_ctl.cli import samples
from vgpu_ctl.api.objects import GpuInfo, VgpuInfo
from vgpu_ctl.cli.declaration import WantedVgpu
from vgpu_ctl.cli.declaration_check import problems

TYPES = [*samples.TYPES, msgspec.structs.replace(samples.type_named("whole"), kind="passthrough")]
FOREIGN = GpuInfo(
    name="0000:00:02.0",
    backend="",
    state="unsupported",
    simulated=False,
    device_id=0x5912,
    description="",
)


def found(
    want: WantedVgpu, *current: VgpuInfo, keep: bool = False, gpus: tuple[GpuInfo, ...] = ()
) -> list[str]:
    return problems(current, [want], TYPES, [samples.GPU, *gpus], keep=keep)


def wanted(name: str = "web", **fields: object) -> WantedVgpu:
    return WantedVgpu(name=name, **{"type": "V9_4", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gpu": "gpu0", "weight": 1024, "cap": 0.01, "uuid": samples.uuid(1).upper()},
        {"gpu": "", "weight": 1, "cap": 1.0},
        {"type": "whole", "cap": 1.0},
    ],
)
def test_what_can_be(fields: dict[str, Any]) -> None:
    assert found(wanted(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "sp are"}, "name: 'sp are' is not allowed: 1 to 64 letters"),
        ({"name": ""}, "name: '' is not allowed"),
        ({"name": samples.uuid(1)}, "name: '00000000-"),
        ({"name": "\ud800"}, r"name: '\ud800' is not allowed"),
        ({"uuid": "zzz"}, "uuid: 'zzz' is not allowed: 36 characters"),
        ({"uuid": ""}, "uuid: '' is not allowed"),
        ({"weight": 5000}, "weight: 5000 is not allowed: 1 to 1024"),
        ({"weight": 0}, "weight: 0 is not allowed"),
        ({"cap": 0.001}, "cap: 0.001 is not allowed: 0.01 to 1"),
        ({"cap": float("nan")}, "cap: nan is not allowed"),
        ({"type": "V9_44"}, "type: there is no 'V9_44': V9_4, V9_1, whole"),
        ({"gpu": "gpu7"}, "gpu: there is no 'gpu7': gpu0"),
        ({"gpu": FOREIGN.name}, f"gpu: there is no '{FOREIGN.name}': gpu0"),
        ({"type": "whole", "weight": 16}, "weight: a vGPU of type whole shares its GPU with"),
        ({"type": "whole", "cap": 0.5}, "cap: a vGPU of type whole shares its GPU with nobody"),
    ],
)
def test_what_cannot_be(fields: dict[str, Any], text: str) -> None:
    (problem,) = found(wanted(**fields), gpus=(FOREIGN,))
    assert problem.startswith(f"vgpus[0].{text}")


def test_all_of_it_is_found() -> None:
    broken = wanted("a b", uuid="u", weight=0, cap=2.0, type="V", gpu="g")
    problem_fields = [problem.partition(":")[0] for problem in found(broken)]
    assert problem_fields == [
        f"vgpus[0].{field}" for field in ("name", "uuid", "weight", "cap", "type", "gpu")
    ]
    two = problems([], [wanted(), wanted("b", gpu="g")], TYPES, [samples.GPU], keep=False)
    assert two == ["vgpus[1].gpu: there is no 'g': gpu0"]


def test_what_the_vgpu_has_already_counts() -> None:
    heavy = samples.vgpu("web", weight=9, own_weight=9)
    (problem,) = found(wanted(type="whole"), heavy)
    assert problem == (
        "vgpus[0].weight: a vGPU of type whole shares its GPU with nobody, and web has a weight: "
        "`vgpuctl modify web --weight type --cap 1`"
    )
    assert found(wanted(type="whole"), samples.vgpu("web", weight=4)) == []
    assert "web has a cap" in found(wanted(type="whole"), samples.vgpu("web", cap=0.5))[0]


def test_what_it_has_already_may_be_gone_from_the_configuration() -> None:
    old = samples.vgpu("web", type="V0", gpu="gpu7", wanted_gpu="gpu7")
    assert found(wanted(type="V0", gpu="gpu7", weight=9), old) == []
    again = wanted(type="V0", gpu="gpu7", uuid=samples.uuid(2))
    assert [text.partition(":")[0] for text in found(again, old)] == [
        "vgpus[0].type",
        "vgpus[0].gpu",
    ]


def test_a_name_that_another_keeps() -> None:
    web, other = samples.vgpu("web", 1), samples.vgpu("other", 2)
    renamed = wanted("other", uuid=web.uuid)
    assert found(renamed, web, other, keep=True) == [
        "vgpus[0].name: there is a vGPU 'other' already"
    ]
    assert found(renamed, web, other) == []  # it is destroyed first
