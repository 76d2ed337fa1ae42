"""What definitions may stand beside each other."""

from __future__ import annotations

import pytest

from mediator.vgpu.vgpu_type import TYPES
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.host.admission import check_beside, check_known
from vgpu_ctl.host.definition import Definition, new_uuid


def definition(**fields: object) -> Definition:
    return Definition(**{"uuid": new_uuid(), "name": "n", "type": "V9_4", **fields})  # type: ignore[arg-type]


def test_names_and_uuids_are_unique() -> None:
    there = definition()
    check_beside(definition(name="m"), [there])
    for new, field in ((definition(), "name"), (definition(uuid=there.uuid, name="m"), "uuid")):
        with pytest.raises(ApiError, match=f"^{field}: there is a vGPU") as error:
            check_beside(new, [there])
        assert (error.value.code, error.value.field) == (ErrorCode.EXISTS, field)


@pytest.mark.parametrize(
    ("fields", "code", "field", "text"),
    [
        ({"type": "V9_3"}, ErrorCode.INVALID, "type", "there is no 'V9_3': V9_1, V9_2"),
        ({"gpu": "g2"}, ErrorCode.INVALID, "gpu", "there is no 'g2': g0, g1"),
        ({"type": "passthrough", "weight": 1}, ErrorCode.UNSUPPORTED, "weight", "with nobody"),
        ({"type": "passthrough", "cap": 0.5}, ErrorCode.UNSUPPORTED, "cap", "with nobody"),
        ({"type": "x" * 9999}, ErrorCode.INVALID, "type", "there is no 'xxx"),
    ],
)
def test_what_is_not_there(
    fields: dict[str, object], code: ErrorCode, field: str, text: str
) -> None:
    with pytest.raises(ApiError, match=text) as error:
        check_known(definition(**fields), TYPES, ["g0", "g1"])
    assert (error.value.code, error.value.field) == (code, field)
    assert len(str(error.value)) < 300


def test_what_is_there() -> None:
    check_known(definition(gpu="g0", weight=3, cap=0.5), TYPES, ["g0"])
    check_known(definition(type="passthrough"), TYPES, ["g0"])
