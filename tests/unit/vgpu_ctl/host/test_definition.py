"""Definitions: what is allowed, and that nothing else gets through."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.host.definition import Definition, changed, checked, is_uuid, new_uuid

UUID = "123e4567-e89b-42d3-a456-426614174000"


def definition(**fields: object) -> Definition:
    return Definition(**{"uuid": UUID, "name": "web", "type": "V9_4", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a", "0", "web-1.lan_2", "A" * 64])
def test_names(name: str) -> None:
    assert checked(definition(name=name)).name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("name", name)
            for name in ("", ".", "..", "-a", "_a", "a/b", "/a", "a b", "a\n", "é", "A" * 65, UUID)
        ),
        *(("uuid", uuid) for uuid in ("", "x", UUID[:-1], f"{{{UUID}}}", UUID.replace("-", ""))),
        *(("weight", weight) for weight in (0, -1, 1025, 1 << 80)),
        *(("cap", cap) for cap in (0.0, 0.009, 1.001, -1.0, float("nan"), float("inf"))),
        ("version", 2),
    ],
)
def test_what_is_refused_is_named(field: str, value: object) -> None:
    with pytest.raises(ApiError) as error:
        checked(definition(**{field: value}))
    assert (error.value.code, error.value.field) == (ErrorCode.INVALID, field)
    assert str(error.value).startswith(f"{field}: ")


def test_changes() -> None:
    heavy = changed(definition(), {"weight": 9, "gpu": "gpu1"})
    assert heavy == definition(weight=9, gpu="gpu1")
    assert changed(heavy, {"weight": "type"}) == definition(gpu="gpu1")


@given(st.text(max_size=70))
def test_no_name_is_a_path(name: str) -> None:
    try:
        checked(definition(name=name))
    except ApiError:
        return
    assert set(name) <= set(string.ascii_letters + string.digits + "-_.")
    assert name not in (".", "..")


def test_a_uuid_is_kept_in_lower_case() -> None:
    assert checked(definition(uuid=UUID.upper())).uuid == UUID
    assert is_uuid(UUID.upper())
    assert is_uuid(new_uuid())
    assert new_uuid() != new_uuid()
    assert not is_uuid(f"urn:uuid:{UUID}")


def test_long_values_are_shortened() -> None:
    with pytest.raises(ApiError) as error:
        checked(definition(name="x" * 60000))
    assert len(str(error.value)) < 300
