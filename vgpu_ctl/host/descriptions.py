"""GPUs and types as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mediator.physical.partition import MIB
from mediator.vgpu.vgpu_type import Kind
from vgpu_ctl.api.objects import GpuInfo, ResourceInfo, TypeInfo

if TYPE_CHECKING:
    from mediator.capacity import Pool
    from mediator.vgpu.vgpu_type import VgpuType
    from vgpu_ctl.host.hosted_gpu import HostedGpu
    from vgpu_ctl.uevents import PciGpu


def gpu_info(gpu: HostedGpu) -> GpuInfo:
    """One GPU of the configuration."""
    config = gpu.config
    detail = f"no PCI device {config.pci}" if not gpu.present else gpu.failure
    if gpu.owner:
        detail = f"{gpu.owner} has all of it"
    return GpuInfo(
        name=gpu.name,
        backend=config.backend,
        state=gpu.state,
        simulated=config.backend == "softgpu",
        device_id=gpu.identity.device_id,
        description=f"{gpu.identity.name} ({gpu.identity.platform})",
        pci=config.pci,
        address_space=config.address_space,
        ggtt=config.ggtt,
        policy=config.policy,
        vgpus=sorted(gpu.holders),
        resources=[] if gpu.owner else [_resource(pool) for pool in gpu.capacity.pools],
        detail=detail,
    )


def pci_gpu_info(gpu: PciGpu) -> GpuInfo:
    """A GPU of this machine that vgpud has nothing to drive it with."""
    generation = "Gen9" if gpu.is_known else "not one that vgpud knows"
    return GpuInfo(
        name=gpu.address,
        backend="",
        state="unsupported",
        simulated=False,
        device_id=gpu.device_id,
        description=f"Intel GPU {gpu.device_id:04x}, {generation}, driver {gpu.driver or 'none'}",
        pci=gpu.address,
        detail="vgpud has no backend for real hardware yet",
    )


def type_info(kind: VgpuType, gpus: Iterable[HostedGpu]) -> TypeInfo:
    """One type, and where there is room for it."""
    return TypeInfo(
        name=kind.name,
        kind=str(kind.kind),
        low_bytes=kind.low * MIB,
        high_bytes=kind.high * MIB,
        fences=kind.fences,
        weight=kind.weight,
        memory_limit_bytes=0 if kind.kind is Kind.PASSTHROUGH else kind.window,
        available={gpu.name: gpu.room(kind) for gpu in gpus if gpu.state == "ready"},
    )


def _resource(pool: Pool) -> ResourceInfo:
    return ResourceInfo(
        name=pool.name,
        unit="slots" if pool.unit == 1 else "bytes",
        total=pool.size,
        left=pool.left,
        holders={name: len(taken) for name, taken in dict(pool.held).items()},
    )
