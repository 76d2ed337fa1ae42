"""What `vgpud serve` was asked for: the options that go together, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import click

from mediator.capacity import Capacity, ResourceError
from mediator.softgpu.strictness import KIND, Strictness, strict
from mediator.vgpu.vgpu_type import TYPES, VgpuType, type_for
from scheduler.policies.fifo import Fifo
from scheduler.policies.timeslice import SLICE_NS, Timeslice
from scheduler.policy import Policy

AddressSpace = Literal["shadow", "direct"]
Ggtt = Literal["ballooned", "private"]


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """The options of the command line that tell how a GPU is shared; None where absent."""

    socket: Path | None = None
    socket_dir: Path | None = None
    vgpus: int | None = None
    type: str | None = None
    policy: str | None = None
    slice_ms: float | None = None
    weight: tuple[int, ...] | None = None
    address_space: str | None = None
    ggtt: str | None = None
    strict: int | None = None

    def native_socket(self) -> Path | None:
        """The socket of a GPU that is not shared; None when vGPUs were asked for.

        Raises UsageError for options that do not go together.
        """
        if self.socket is None and self.vgpus is None:
            raise click.UsageError(
                "--socket PATH is missing, or --vgpus N and --socket-dir DIR to share the GPU"
            )
        if self.vgpus is not None:
            if self.socket is not None:
                raise click.UsageError("--socket does not go with --vgpus: take --socket-dir")
            if self.socket_dir is None:
                raise click.UsageError("--vgpus needs --socket-dir, where the sockets will be")
            return None
        for name in self.__slots__:
            if name not in ("socket", "vgpus") and getattr(self, name) is not None:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} needs --vgpus: with --socket one client "
                    "has the whole GPU"
                )
        return self.socket


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """A GPU shared among ``count`` vGPUs of one type, with a socket and a weight for each."""

    count: int
    type: VgpuType
    policy: Policy
    weights: tuple[int, ...]
    address_space: AddressSpace
    ggtt: Ggtt
    paths: tuple[Path, ...]
    strictness: Strictness


def shared_options(given: GivenOptions) -> SharedOptions:
    """The shared GPU that was asked for, after `GivenOptions.native_socket` gave None.

    Raises UsageError, which names the option, for what is impossible.
    """
    assert given.vgpus is not None
    assert given.socket_dir is not None
    count = given.vgpus
    ggtt = cast("Ggtt", given.ggtt or "ballooned")
    kind = type_for(count) if given.type is None else TYPES[given.type]
    direct = given.address_space == "direct"
    try:
        Capacity(windows=not direct, private=ggtt == "private").check(kind, count)
    except ResourceError as error:
        option = "--vgpus" if given.type is None else "--vgpus and --type"
        raise click.UsageError(f"{option}: {error}{_remedy(given, kind, count)}") from error
    return SharedOptions(
        count,
        kind,
        _policy(given),
        _weights(given, kind),
        cast("AddressSpace", given.address_space or "shadow"),
        ggtt,
        tuple(given.socket_dir / f"vgpu{index}" for index in range(count)),
        KIND if given.strict is None else strict(given.strict),
    )


def _remedy(given: GivenOptions, kind: VgpuType, count: int) -> str:
    """What else would do, for the end of a message."""
    smaller = type_for(count)
    if smaller.most >= count and smaller is not kind:
        return f"; take --type {smaller.name}"
    fits = given.ggtt != "private" and kind.most < count <= 31
    return "; take --ggtt private" if fits else ""


def _policy(given: GivenOptions) -> Policy:
    if given.policy in (None, "timeslice"):
        slice_ms = given.slice_ms
        if slice_ms is not None and math.isnan(slice_ms):  # it passes every range
            raise click.UsageError("--slice-ms nan: a number of milliseconds is needed")
        return Timeslice(SLICE_NS if slice_ms is None else round(slice_ms * 1e6))
    for option, value in (("--slice-ms", given.slice_ms), ("--weight", given.weight)):
        if value is not None:
            raise click.UsageError(f"{option} does not go with --policy fifo, which has no shares")
    return Fifo()


def _weights(given: GivenOptions, kind: VgpuType) -> tuple[int, ...]:
    count = given.vgpus or 0
    if given.weight is None:
        return (kind.weight,) * count
    if len(given.weight) != count:
        raise click.UsageError(
            f"--weight is there {len(given.weight)} times: give it once for each of the "
            f"{count} vGPUs, or not at all"
        )
    return given.weight
