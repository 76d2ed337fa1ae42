"""`--if-not-exists`: a vGPU that is there already is as good as a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vgpu_ctl.api.objects import VgpuInfo
from vgpu_ctl.client import ApiError, Client, ErrorCode


def made_or_existing(
    vgpud: Client, make: Callable[..., VgpuInfo], wanted: dict[str, Any], *, if_not_exists: bool
) -> VgpuInfo:
    """What ``make`` makes of ``wanted``; or the vGPU of its name, if it is of its type, too.

    Raises ApiError as ``make`` does.
    """
    try:
        return make(**wanted)
    except ApiError as error:
        if not if_not_exists or error.code is not ErrorCode.EXISTS:
            raise
        for vgpu in vgpud.vgpus():
            if (vgpu.name, vgpu.type) == (wanted["name"], wanted["type"]):
                return vgpu
        raise
