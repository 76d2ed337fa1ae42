"""Read what ocloc writes: kernels, their heaps, and the tokens that say how to launch them; pure.

The file is an ELF image; the program is in the section whose data begins with "CTNI". Structures
and token numbers are those of the patch-token format, version 1081, as Intel's compiler and its
OpenCL driver share them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

_MAGIC = b"CTNI"
_ELF_HEADER = struct.Struct("<40xQ10xHHH")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_PROGRAM = struct.Struct("<7I")
_KERNEL = struct.Struct("<IQ7I")
_TOKEN = struct.Struct("<II")
_DATA_PARAMETER = struct.Struct("<5I")


class Token(IntEnum):
    """Kinds of patch tokens that concern a launch."""

    SAMPLER_STATE_ARRAY = 5
    BINDING_TABLE_STATE = 8
    GLOBAL_MEMORY_ARGUMENT = 11
    IMAGE_ARGUMENT = 12
    CONSTANT_MEMORY_ARGUMENT = 13
    LOCAL_SURFACE = 15
    SAMPLER_ARGUMENT = 16
    DATA_PARAMETER = 17
    SCRATCH = 18
    INTERFACE_DESCRIPTOR = 21
    THREAD_PAYLOAD = 22
    EXECUTION_ENVIRONMENT = 23
    DATA_PARAMETER_STREAM = 25
    STATELESS_GLOBAL_ARGUMENT = 30
    STATELESS_CONSTANT_ARGUMENT = 31
    PRIVATE_MEMORY = 38
    PROGRAM_CONSTANTS = 42
    CONSTANT_SURFACE = 44


class Parameter(IntEnum):
    """What a data parameter of the cross-thread block holds."""

    ARGUMENT = 1
    LOCAL_SIZE = 2
    GLOBAL_SIZE = 3
    GROUP_COUNT = 4
    DIMENSIONS = 5
    LOCAL_ARGUMENT = 8
    IMAGE_WIDTH = 9
    IMAGE_HEIGHT = 10
    IMAGE_DEPTH = 11
    IMAGE_DATA_TYPE = 12
    IMAGE_ORDER = 13
    GLOBAL_OFFSET = 16
    ENQUEUED_LOCAL_SIZE = 28
    BUFFER_OFFSET = 42
    BUFFER_STATEFUL = 43


class FormatError(Exception):
    """The bytes are not a program of this format."""


@dataclass(frozen=True, slots=True)
class DataParameter:
    """A value of the cross-thread block: ``size`` bytes at ``offset``; ``source`` is the offset in
    the argument, 4 times the dimension, or a local argument's alignment."""

    kind: int
    argument: int
    offset: int
    size: int
    source: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer: where its surface state and its 64-bit address go (None: nowhere)."""

    argument: int
    surface: int | None
    offset: int | None
    size: int = 8


@dataclass(slots=True)
class KernelBinary:
    """A kernel. Offsets into ``surfaces``, ``dynamic`` (heaps) and the cross-thread block.

    ``binding_table`` and ``samplers`` are (offset, count); ``local_bytes`` of inline local memory,
    ``scratch_bytes`` for each thread; ``local_ids``: which of x, y, z are in the thread payload.
    """

    name: str
    isa: bytes
    dynamic: bytes
    surfaces: bytes
    simd: int = 0
    barriers: bool = False
    local_bytes: int = 0
    scratch_bytes: int = 0
    cross_thread_bytes: int = 0
    local_ids: tuple[bool, bool, bool] = (False, False, False)
    indirect_payload: bool = False
    required_size: tuple[int, int, int] = (0, 0, 0)
    binding_table: tuple[int, int] = (0, 0)
    samplers: tuple[int, int] = (0, 0)
    border_color: int = 0
    parameters: list[DataParameter] = field(default_factory=list)
    pointers: list[Pointer] = field(default_factory=list)
    images: dict[int, int] = field(default_factory=dict)
    """Offset of the surface state by argument."""
    constants: Pointer | None = None
    """The surface of the program's own constants."""
    private: Pointer | None = None
    private_bytes: int = 0
    """Private memory of a work item (or thread)."""


@dataclass(frozen=True, slots=True)
class ProgramBinary:
    """Kernels by name, and the data of the program's constants."""

    kernels: dict[str, KernelBinary]
    constants: bytes


def parse(data: bytes) -> ProgramBinary:
    """The program in an ELF image, or a bare one. Raises FormatError."""
    try:
        return _program(_section(data))
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"cut off or damaged: {error}") from error


def _section(data: bytes) -> bytes:
    if data.startswith(_MAGIC):
        return data
    if not data.startswith(b"\x7fELF"):
        raise FormatError("neither an ELF image nor a program")
    table, size, count, _ = _ELF_HEADER.unpack_from(data)
    for number in range(count):
        fields = _SECTION_HEADER.unpack_from(data, table + number * size)
        content = data[fields[4] : fields[4] + fields[5]]
        if content.startswith(_MAGIC):
            return content
    raise FormatError("no section holds a program")


def _program(data: bytes) -> ProgramBinary:
    _, _, _, _, kernel_count, _, patch_bytes = _PROGRAM.unpack_from(data)
    at = _PROGRAM.size
    constants = b""
    end = at + patch_bytes
    while at < end:
        token, size = _TOKEN.unpack_from(data, at)
        body = data[at + _TOKEN.size : at + size]
        at += size
        if token == Token.PROGRAM_CONSTANTS:
            length = struct.unpack_from("<I", body, 4)[0]
            constants += data[at : at + length]
            at += length
    at = end
    kernels = {}
    for _ in range(kernel_count):
        kernel, at = _kernel(data, at)
        kernels[kernel.name] = kernel
    return ProgramBinary(kernels, constants)


def _kernel(data: bytes, at: int) -> tuple[KernelBinary, int]:
    _, _, name_bytes, patch_bytes, code, general, dynamic, surface, unpadded = _KERNEL.unpack_from(
        data, at
    )
    at += _KERNEL.size
    pieces = []
    for size in (name_bytes, code, general, dynamic, surface, patch_bytes):
        pieces.append(data[at : at + size])
        at += size
    if at > len(data):
        raise FormatError("a kernel's heaps are cut off")
    name, isa, _, dynamics, surfaces, patches = pieces
    kernel = KernelBinary(name.rstrip(b"\0").decode(), isa[:unpadded], dynamics, surfaces)
    for token, body in _tokens(patches):
        _apply(kernel, token, body)
    return kernel, at


def _tokens(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        token, size = _TOKEN.unpack_from(data, at)
        if size < _TOKEN.size:
            raise FormatError(f"token {token} of {size} bytes")
        yield token, data[at + _TOKEN.size : at + size]
        at += size


def _apply(kernel: KernelBinary, token: int, body: bytes) -> None:
    words = struct.unpack(f"<{len(body) // 4}I", body[: len(body) // 4 * 4])
    match token:
        case Token.SAMPLER_STATE_ARRAY:
            kernel.samplers = (words[0], words[1])
            kernel.border_color = words[2]
        case Token.BINDING_TABLE_STATE:
            kernel.binding_table = (words[0], words[1])
        case Token.GLOBAL_MEMORY_ARGUMENT | Token.CONSTANT_MEMORY_ARGUMENT:
            kernel.pointers.append(Pointer(words[0], words[1], None))
        case Token.IMAGE_ARGUMENT:
            kernel.images[words[0]] = words[2]
        case Token.LOCAL_SURFACE:
            kernel.local_bytes = words[1]
        case Token.DATA_PARAMETER:
            kernel.parameters.append(DataParameter(*_DATA_PARAMETER.unpack_from(body)))
        case Token.SCRATCH:
            kernel.scratch_bytes = max(kernel.scratch_bytes, words[1])
        case Token.THREAD_PAYLOAD:
            kernel.local_ids = (bool(words[1]), bool(words[2]), bool(words[3]))
            kernel.indirect_payload = bool(words[5])
        case Token.EXECUTION_ENVIRONMENT:
            kernel.required_size = words[0:3]
            kernel.simd = words[3]
            kernel.barriers = bool(words[5])
        case Token.DATA_PARAMETER_STREAM:
            kernel.cross_thread_bytes = words[0]
        case Token.STATELESS_GLOBAL_ARGUMENT | Token.STATELESS_CONSTANT_ARGUMENT:
            kernel.pointers.append(Pointer(words[0], words[1], words[2], words[3]))
        case Token.CONSTANT_SURFACE:
            kernel.constants = Pointer(-1, words[1], words[2], words[3])
        case Token.PRIVATE_MEMORY:
            kernel.private = Pointer(-1, words[0], words[1], words[2])
            kernel.private_bytes = words[3]
        case _:
            pass
