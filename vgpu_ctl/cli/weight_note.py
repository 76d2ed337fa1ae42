"""What is said beside a weight that decides nothing."""

from __future__ import annotations

import click

from vgpu_ctl.api.objects import VgpuInfo, VgpuState
from vgpu_ctl.client import Client

_WITHOUT_SHARES = "fifo"


def note_idle_weight(vgpud: Client, vgpu: VgpuInfo, weight: object) -> None:
    """Say so on standard error where ``weight`` was given to one whose GPU has no shares."""
    if weight is None or vgpu.state is not VgpuState.ACTIVE:
        return
    if any(gpu.name == vgpu.gpu and gpu.policy == _WITHOUT_SHARES for gpu in vgpud.gpus()):
        text = f"policy {_WITHOUT_SHARES} of {vgpu.gpu} has no shares: the weight counts elsewhere"
        click.echo(f"note: {text}", err=True)
