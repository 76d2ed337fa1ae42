"""The definition of a vGPU: what is kept of it on disk, and what may stand there. No I/O.

The model is mdevctl's: a definition stays until it is undefined, is started by hand or, with
``autostart``, whenever vgpud starts; a transient vGPU has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import msgspec

from mediator.vgpu.vgpu_type import HEAVIEST
from vgpu_ctl.api.messages import ApiError, ErrorCode

VERSION = 1
"""Of the file; others are refused."""
LEAST_CAP = 0.01
"""With less a vGPU would be held back for longer than its driver waits: i915 gives up after 640 ms.
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAMES = "1 to 64 letters, digits, - _ and ., the first a letter or a digit; no UUID"


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vGPU as it is kept: a JSON object with these keys."""

    version: int = VERSION
    uuid: str
    """In the usual form of 36 characters, lower case."""
    name: str
    type: str
    gpu: str = ""
    """The GPU it must be on; empty: any with room."""
    weight: int | None = None
    """None: that of its type."""
    cap: float = 1.0
    autostart: bool = False


def new_uuid() -> str:
    """A random UUID."""
    return str(uuid4())


def checked(definition: Definition) -> Definition:
    """``definition`` with its UUID in the usual form. Raises ApiError INVALID with the field."""
    if definition.version != VERSION:
        raise _invalid("version", definition.version, f"this program reads {VERSION}")
    if not _NAME.fullmatch(definition.name) or is_uuid(definition.name):
        raise _invalid("name", definition.name, _NAMES)
    if not is_uuid(definition.uuid):
        raise _invalid(
            "uuid", definition.uuid, "36 characters like 123e4567-e89b-42d3-a456-426614174000"
        )
    check_weight(definition.weight)
    check_cap(definition.cap)
    return msgspec.structs.replace(definition, uuid=definition.uuid.lower())


def changed(definition: Definition, fields: Mapping[str, Any]) -> Definition:
    """``definition`` with other ``fields``, not checked; a weight of "type": none of its own."""
    if fields.get("weight") == "type":
        fields = {**fields, "weight": None}
    return msgspec.structs.replace(definition, **fields)


def check_weight(weight: int | None) -> None:
    """Raises ApiError INVALID for a weight outside 1 to 1024."""
    if weight is not None and not 1 <= weight <= HEAVIEST:
        raise _invalid("weight", weight, f"1 to {HEAVIEST}")


def check_cap(cap: float | None) -> None:
    """Raises ApiError INVALID for a cap outside 0.01 to 1."""
    if cap is not None and not LEAST_CAP <= cap <= 1:
        raise _invalid("cap", cap, f"{LEAST_CAP} to 1, the part of the GPU's time; 1 is no limit")


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in the form of 36 characters."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _invalid(field: str, value: object, allowed: str) -> ApiError:
    text = f"{field}: {value!r:.100} is not allowed: {allowed}"
    return ApiError(ErrorCode.INVALID, text, field=field)
