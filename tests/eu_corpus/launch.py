"""Lay a kernel and its arguments out in GPU memory as Intel's OpenCL driver does, with a batch.

What comes out is plain bytes at GPU addresses: an interpreter takes registers and surfaces from it,
a command streamer the batch. Commands: PRM SKL vol 2a; payload: vol 7 "GPGPU Thread Payload".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.eu_corpus import surfaces
from tests.eu_corpus.case import Buffer, Case, Image, Local, Scalar
from tests.eu_corpus.program_binary import DataParameter, KernelBinary, Parameter, ProgramBinary

Array = NDArray[Any]

GENERAL: Final = 0x0_0800_0000
SURFACE: Final = 0x1_0000_0000
DYNAMIC: Final = 0x1_4000_0000
INSTRUCTION: Final = 0x2_0000_0000
INDIRECT: Final = 0x8001_0000_0000
BUFFERS: Final = 0x5572_0000_0000
BATCH: Final = 0x0_0010_0000
"""Where things begin, as far apart as drivers put them."""

MOST_THREADS: Final = 168
_GRF = 32
_KERNEL_OFFSET = 0x1000
_DYNAMIC_OFFSET = 0x1000
_DESCRIPTOR_OFFSET = 0x40
_SURFACE_OFFSET = 0x400
_PAGE = 0x1000
_GAP = 2 * _PAGE


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes at a GPU address, which is page aligned. What is between segments is not mapped."""

    address: int
    data: bytearray


@dataclass(slots=True)
class Launch:
    """A launch that is ready. Addresses are GPU addresses, lengths of payload blocks in bytes.

    ``places`` has address and size of each argument's memory, None for those without.
    """

    case: Case
    binary: KernelBinary
    simd: int
    groups: tuple[int, int, int]
    threads: int
    right_mask: int
    cross_thread: bytes
    per_thread: list[bytes]
    slm_bytes: int
    scratch_bytes: int
    kernel_start: int
    binding_table: int
    """Relative to the surface base."""
    sampler_table: int
    """Relative to the dynamic base."""
    segments: list[Segment]
    places: list[tuple[int, int] | None]
    batch: int = BATCH
    bases: Mapping[str, int] = field(
        default_factory=lambda: {
            "general": GENERAL,
            "surface": SURFACE,
            "dynamic": DYNAMIC,
            "indirect": INDIRECT,
            "instruction": INSTRUCTION,
        }
    )

    def dispatch_mask(self, thread: int) -> int:
        """Which channels of a thread of a group are there."""
        return self.right_mask if thread == self.threads - 1 else (1 << self.simd) - 1

    def registers(self, group: tuple[int, int, int], thread: int, slot: int = 0) -> bytes:
        """r0 and the payload behind it, for an executor that does not dispatch by itself."""
        head = [0] * 8
        head[1], head[6], head[7] = group
        head[3] = self.sampler_table | _scratch_code(self.scratch_bytes)
        head[4] = self.binding_table
        head[5] = slot * self.scratch_bytes & ~0x3FF | slot
        return struct.pack("<8I", *head) + self.per_thread[thread] + self.cross_thread

    def all_groups(self) -> Iterator[tuple[int, int, int]]:
        """Every group, in the order of the walker."""
        x, y, z = self.groups
        for number in range(x * y * z):
            yield number % x, number // x % y, number // (x * y)

    def results(self, read: Callable[[int, int], bytes]) -> list[Array | None]:
        """What the arguments' memory holds, by a function (address, size)."""
        found: list[Array | None] = []
        for argument, place in zip(self.case.arguments, self.places, strict=True):
            if place is None or not isinstance(argument, Buffer | Image):
                found.append(None)
                continue
            raw = np.frombuffer(read(*place), np.uint8)
            row = argument.data.nbytes
            if isinstance(argument, Image):
                row = argument.data[0].nbytes
                raw = raw.reshape(argument.data.shape[0], -1)[:, :row]
            else:
                raw = raw[:row]
            shaped = np.ascontiguousarray(raw).view(argument.data.dtype)
            found.append(shaped.reshape(argument.data.shape))
        return found

    def check(self, read: Callable[[int, int], bytes]) -> list[str]:
        """Complaints about what the launch left in memory."""
        return self.case.judge(self.results(read))


@dataclass(slots=True)
class FlatMemory:
    """The segments of a launch as memory to run in. Raises KeyError outside of them."""

    segments: list[Segment]

    def find(self, address: int, size: int) -> tuple[bytearray, int]:
        """The segment that holds all of a range, and the offset in it."""
        for segment in self.segments:
            at = address - segment.address
            if at >= 0 and at + size <= len(segment.data):
                return segment.data, at
        raise KeyError(f"{size} bytes at {address:#x}")

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes."""
        data, at = self.find(address, size)
        return bytes(data[at : at + size])

    def write(self, address: int, data: bytes) -> None:
        """Replace bytes."""
        target, at = self.find(address, len(data))
        target[at : at + len(data)] = data


def prepare(case: Case, program: ProgramBinary) -> Launch:
    """Lay the case out for the kernel that the compiler made of it."""
    binary = program.kernels[case.function]
    local = (*case.local_size, 1, 1)[:3]
    sizes = (*case.global_size, 1, 1)[:3]
    items = math.prod(local)
    threads = -(-items // binary.simd)
    segments: list[Segment] = []
    places = _place_arguments(case, segments)
    constants = _place_constants(program, segments)
    slm = binary.local_bytes
    cross = bytearray(-(-binary.cross_thread_bytes // _GRF) * _GRF)
    for parameter in binary.parameters:
        if parameter.kind == Parameter.LOCAL_ARGUMENT:
            slm = -(-slm // max(1, parameter.source)) * max(1, parameter.source)
            cross[parameter.offset : parameter.offset + 4] = struct.pack("<I", slm)
            argument = case.arguments[parameter.argument]
            assert isinstance(argument, Local)
            slm += argument.size
        else:
            value = _value(parameter, case, sizes, local)
            cross[parameter.offset : parameter.offset + len(value)] = value
    heap = bytearray(binary.surfaces)
    for pointer in binary.pointers:
        place = places[pointer.argument]
        assert place is not None
        if pointer.offset is not None:
            cross[pointer.offset : pointer.offset + pointer.size] = place[0].to_bytes(8, "little")
        if pointer.surface is not None:
            state = surfaces.buffer_state(*place)
            heap[pointer.surface : pointer.surface + surfaces.STATE_BYTES] = state
    for number, offset in binary.images.items():
        place, image = places[number], case.arguments[number]
        assert place is not None
        assert isinstance(image, Image)
        heap[offset : offset + surfaces.STATE_BYTES] = surfaces.image_state(place[0], image)
    if binary.constants is not None and binary.constants.surface is not None:
        at = binary.constants.surface
        heap[at : at + surfaces.STATE_BYTES] = surfaces.buffer_state(*constants)
        if binary.constants.offset is not None:
            end = binary.constants.offset + 8
            cross[binary.constants.offset : end] = constants[0].to_bytes(8, "little")
    rest = items % binary.simd
    launch = Launch(
        case=case,
        binary=binary,
        simd=binary.simd,
        groups=_groups(sizes, local),
        threads=threads,
        right_mask=(1 << (rest or binary.simd)) - 1,
        cross_thread=bytes(cross),
        per_thread=_local_ids(binary, local, threads),
        slm_bytes=slm,
        scratch_bytes=binary.scratch_bytes,
        kernel_start=INSTRUCTION + _KERNEL_OFFSET,
        binding_table=_SURFACE_OFFSET + binary.binding_table[0],
        sampler_table=_DYNAMIC_OFFSET + binary.samplers[0] if binary.samplers[1] else 0,
        segments=segments,
        places=places,
    )
    _place_state(launch, heap)
    return launch


def _groups(sizes: tuple[int, ...], local: tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = (whole // part for whole, part in zip(sizes, local, strict=True))
    return x, y, z


def _place(segments: list[Segment], address: int, data: bytes) -> None:
    segments.append(Segment(address, bytearray(data) + bytes(-len(data) % _PAGE)))


def _place_arguments(case: Case, segments: list[Segment]) -> list[tuple[int, int] | None]:
    places: list[tuple[int, int] | None] = []
    address = BUFFERS
    for argument in case.arguments:
        if isinstance(argument, Image):
            rows = argument.data.reshape(argument.data.shape[0], -1)
            padded = np.zeros((rows.shape[0], surfaces.image_pitch(argument)), np.uint8)
            padded[:, : rows[0].nbytes] = np.ascontiguousarray(rows).view(np.uint8)
            content = padded.tobytes()
        elif isinstance(argument, Buffer):
            content = argument.data.tobytes()
        else:
            places.append(None)
            continue
        places.append((address, len(content)))
        _place(segments, address, content)
        address += -(-len(content) // _PAGE) * _PAGE + _GAP
    return places


def _place_constants(program: ProgramBinary, segments: list[Segment]) -> tuple[int, int]:
    if not program.constants:
        return 0, 0
    address = BUFFERS - 0x1000_0000
    _place(segments, address, program.constants)
    return address, len(program.constants)


def _value(
    parameter: DataParameter, case: Case, sizes: tuple[int, ...], local: tuple[int, ...]
) -> bytes:
    axis = parameter.source // 4
    match parameter.kind:
        case Parameter.ARGUMENT:
            argument = case.arguments[parameter.argument]
            assert isinstance(argument, Scalar)
            raw = argument.value.tobytes()
            return raw[parameter.source : parameter.source + parameter.size]
        case Parameter.LOCAL_SIZE | Parameter.ENQUEUED_LOCAL_SIZE:
            number = local[axis]
        case Parameter.GLOBAL_SIZE:
            number = sizes[axis]
        case Parameter.GROUP_COUNT:
            number = sizes[axis] // local[axis]
        case Parameter.GLOBAL_OFFSET:
            number = (*case.offset, 0, 0, 0)[axis]
        case Parameter.DIMENSIONS:
            number = len(case.global_size)
        case Parameter.IMAGE_WIDTH | Parameter.IMAGE_HEIGHT:
            image = case.arguments[parameter.argument]
            assert isinstance(image, Image)
            number = image.data.shape[1 if parameter.kind == Parameter.IMAGE_WIDTH else 0]
        case Parameter.BUFFER_OFFSET:
            number = 0
        case Parameter.BUFFER_STATEFUL:
            return b""
        case _:
            raise NotImplementedError(f"data parameter {parameter}")
    return struct.pack("<I", number)


def _local_ids(binary: KernelBinary, local: tuple[int, ...], threads: int) -> list[bytes]:
    """Words of x, y and z for each channel, each padded to whole registers."""
    items = np.arange(threads * binary.simd)
    axes = (
        items % local[0],
        items // local[0] % local[1],
        items // (local[0] * local[1]),
    )
    padded = max(16, binary.simd)
    blocks = []
    for thread in range(threads):
        channels = slice(thread * binary.simd, (thread + 1) * binary.simd)
        words = np.zeros((3, padded), np.uint16)
        for axis in range(3):
            words[axis, : binary.simd] = axes[axis][channels]
        present = [words[axis] for axis in range(3) if binary.local_ids[axis]]
        blocks.append(b"".join(row.tobytes() for row in present))
    return blocks


def _place_state(launch: Launch, heap: bytearray) -> None:
    binary = launch.binary
    if binary.binding_table[1]:
        at, count = binary.binding_table
        for entry in range(count):
            offset = struct.unpack_from("<I", heap, at + 4 * entry)[0]
            struct.pack_into("<I", heap, at + 4 * entry, offset + _SURFACE_OFFSET)
    dynamic = bytearray(_DYNAMIC_OFFSET) + bytearray(binary.dynamic)
    border = _DYNAMIC_OFFSET + binary.border_color
    for number in range(binary.samplers[1]):
        at = launch.sampler_table + 16 * number + 8
        struct.pack_into("<I", dynamic, at, struct.unpack_from("<I", dynamic, at)[0] | border)
    dynamic[_DESCRIPTOR_OFFSET : _DESCRIPTOR_OFFSET + 32] = _descriptor(launch)
    per_thread = b"".join(launch.per_thread)
    segments = launch.segments
    # Code that runs past its end reads what a neighbour might have left: nothing valid.
    _place(segments, INSTRUCTION, bytes(_KERNEL_OFFSET) + binary.isa)
    _place(segments, SURFACE, bytes(_SURFACE_OFFSET) + heap)
    _place(segments, DYNAMIC, bytes(dynamic))
    _place(segments, INDIRECT, launch.cross_thread + per_thread)
    if launch.scratch_bytes:
        _place(segments, GENERAL, bytes(launch.scratch_bytes * MOST_THREADS))
    words = _commands(launch)
    _place(segments, BATCH, struct.pack(f"<{len(words)}I", *words))


def _scratch_code(size: int) -> int:
    """Per-thread scratch of 2^(n + 10) bytes, as n."""
    return max(0, (size - 1).bit_length() - 10) if size else 0


def _slm_code(size: int) -> int:
    """0 is none, n is 2^(n - 1) KiB."""
    return max(0, (size - 1).bit_length() - 10) + 1 if size else 0


def _descriptor(launch: Launch) -> bytes:
    start = launch.kernel_start - INSTRUCTION
    samplers = launch.binary.samplers[1]
    return struct.pack(
        "<8I",
        start,
        0,
        1 << 19,  # denormals as the kernel sets them
        launch.sampler_table | min(-(-samplers // 4), 4) << 2,
        launch.binding_table | min(launch.binary.binding_table[1], 31),
        len(launch.per_thread[0]) // _GRF << 16,
        launch.threads | _slm_code(launch.slm_bytes) << 16 | launch.binary.barriers << 21,
        len(launch.cross_thread) // _GRF,
    )


def _commands(launch: Launch) -> list[int]:
    enable = 1
    everything = 0xFFFFF000 | enable

    def base(address: int) -> list[int]:
        return [address & 0xFFFFFFFF | enable, address >> 32]

    stall = [0x7A000004, 1 << 20 | 1 << 5, 0, 0, 0, 0]
    length = len(launch.cross_thread) + sum(map(len, launch.per_thread))
    x, y, z = launch.groups
    simd_code = {8: 0, 16: 1, 32: 2}[launch.simd]
    scratch = _scratch_code(launch.scratch_bytes)
    return [
        *stall,
        0x69041302,  # PIPELINE_SELECT: GPGPU
        *(0x61010011, *base(GENERAL), 0, *base(SURFACE), *base(DYNAMIC), *base(INDIRECT)),
        *(*base(INSTRUCTION), everything, everything, everything, everything, 0, 0, 0),
        *(0x70000007, scratch, 0, (MOST_THREADS - 1) << 16 | 1 << 8, 0, 0x07820000, 0, 0, 0),
        *(0x70020002, 0, 32, _DESCRIPTOR_OFFSET),
        *(0x7105000D, 0, length, 0, simd_code << 30 | (launch.threads - 1)),
        *(0, 0, x, 0, 0, y, 0, z, launch.right_mask, 0xFFFFFFFF),
        *(0x70040000, 0),
        *stall,
        0x05000000,
        0,
    ]
