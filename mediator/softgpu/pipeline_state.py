"""What the render pipeline was told last: state that a context keeps, and its place in the image.

Hardware keeps it, and a restore carries it out again, so the image has it as commands: each of a
fixed length that was given last, with all its fields in force (of vertex buffers and of what says
how vertex elements advance, the last for each), then MEDIA_INTERFACE_DESCRIPTOR_LOAD
and MEDIA_CURBE_LOAD with what they have loaded behind their operands. So what was loaded survives
its memory.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from mediator.gen9 import vertices
from mediator.gen9.commands import RCS
from mediator.gen9.eu import media
from mediator.gen9.pipeline_state import (
    COMMAND_PAGES,
    CURBE_LOAD,
    CURBE_PAGES,
    DESCRIPTOR_LOAD,
    DESCRIPTOR_PAGES,
    ELEMENT_COUNT,
    HEADER_FLAGS,
    INSTANCING,
    STATE_COMMANDS,
    VERTEX_BUFFER_COUNT,
    VERTEX_BUFFERS,
)
from mediator.gen9.pte import PAGE_SIZE

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

BASE_ADDRESS: Final = 0x6101
FRONT_END: Final = 0x7000
_SELECT: Final = 0x6904
_KEY_SHIFT: Final = 16
_LENGTH_BIAS: Final = 2
_LOAD_BYTES: Final = 4 * media.LOAD_DWORDS
_COMMANDS: Final = slice(0, COMMAND_PAGES * PAGE_SIZE)
_DESCRIPTORS: Final = slice(_COMMANDS.stop, _COMMANDS.stop + DESCRIPTOR_PAGES * PAGE_SIZE)
_CURBE: Final = slice(_DESCRIPTORS.stop, _DESCRIPTORS.stop + CURBE_PAGES * PAGE_SIZE)
_NOTHING: Final = bytes(CURBE_PAGES * PAGE_SIZE)
IMAGE_BYTES: Final = _CURBE.stop

Command = tuple[int, ...]


class PipelineState:
    """The pipeline's state of one engine; only the render engine has any."""

    _commands: dict[int, Command]
    """By header bits 31:16, each as the image has it."""
    descriptors: bytes
    """Interface descriptors, of 32 bytes each, as they were loaded."""
    constants: bytes
    """The CURBE as it was loaded."""
    _image: bytes | None
    """All of it; None after a change."""
    decoded: object
    """What a draw makes of the commands, or in words why nothing. None after a change."""

    def __init__(self, engine_class: str) -> None:
        self._has_state = engine_class == RCS
        self.given: dict[int, bytes] = {}
        """The last commands, as they were given: who gives one of these again changes nothing."""
        self.reset()

    @property
    def image(self) -> bytes:
        """The pages of the context's image from page 2 on that have this state."""
        if self._image is None:
            self._image = self._pack() if self._has_state else b""
        return self._image

    def command(self, key: int) -> Command:
        """The dwords of the state command with header bits 31:16 ``key``."""
        return self._commands[key]

    def reset(self) -> None:
        """Every command as though it had been given with operands of 0, nothing loaded."""
        self._commands = dict(_COLD) if self._has_state else {}
        self.given.clear()
        self.descriptors = self.constants = b""
        self._image = self.decoded = None

    def latch(self, command: list[int]) -> None:
        """Keep what ``command`` says, the last of its kind."""
        if not self._has_state:
            return
        key = command[0] >> _KEY_SHIFT
        self.given[key] = array("I", command).tobytes()
        kept = _merge(key, self._commands[key], command)
        if kept != self._commands[key]:
            self._commands[key] = kept
            self._image = self.decoded = None

    def load_descriptors(self, data: bytes) -> None:
        """The interface descriptors from now on."""
        if data != self.descriptors:
            self.descriptors = data
            self._image = None

    def load_constants(self, data: bytes) -> None:
        """The CURBE from now on."""
        if data != self.constants:
            self.constants = data
            self._image = None

    def restore(self, image: bytes) -> bool:
        """Do what the first pages of ``image`` say if they are as `image` makes them.

        False, and nothing done, when other commands stand there too.
        """
        commands = image[_COMMANDS]
        descriptors = _unpack_load(DESCRIPTOR_LOAD, image[_DESCRIPTORS])
        constants = _unpack_load(CURBE_LOAD, image[_CURBE])
        if descriptors is None or constants is None:
            return False
        if int.from_bytes(commands, "little") & _FIXED != _SHAPE:
            return False
        self.given.clear()
        words = array("I", commands[:_COMMANDS_SIZE]).tolist()
        for key, at in _PLACES.items():
            self._commands[key] = tuple(words[at : at + STATE_COMMANDS[key]])
        self.descriptors, self.constants = descriptors, constants
        self._image = self.decoded = None
        return True

    def _pack(self) -> bytes:
        words = array("I")
        for command in self._commands.values():
            words.extend(command)
        return b"".join(
            (
                words.tobytes().ljust(_COMMANDS.stop, b"\0"),
                _pack_load(DESCRIPTOR_LOAD, self.descriptors, DESCRIPTOR_PAGES),
                _pack_load(CURBE_LOAD, self.constants, CURBE_PAGES),
            )
        )


def latch(streamer: Streamer, command: list[int]) -> Outcome:
    """A state command: it is remembered, and has no other effect."""
    streamer.host.pipeline.latch(command)
    return None


def _merge(key: int, old: Command, command: list[int]) -> Command:
    """What is kept after ``command``: of fixed length, with every field in force."""
    length = STATE_COMMANDS[key]
    given = command[1:length]
    given += [0] * (length - 1 - len(given))
    if key == _SELECT:
        mask = media.SELECT_MASK.get(command[0])
        select = (old[0] & ~mask | command[0] & mask) & media.SELECT.mask
        return (key << _KEY_SHIFT | media.SELECT_MASK.mask | select,)
    if key == BASE_ADDRESS:
        merged = list(old)
        merged[media.STATELESS_MOCS] = given[media.STATELESS_MOCS - 1]
        for place in media.BASE_PLACES:
            low, size = place.base, place.size
            if given[low - 1] & media.BASE_MODIFY:
                merged[low : low + 2] = given[low - 1 : low + 1]
            # The size of the bindless heap has no bit of its own: it comes with the base.
            switch = low if place is media.BINDLESS_SURFACE_STATE else size
            if size is not None and switch is not None and given[switch - 1] & media.BASE_MODIFY:
                merged[size] = given[size - 1]
        return tuple(merged)
    if key == VERTEX_BUFFERS:
        return _merge_buffers(old, command)
    if key == INSTANCING:
        return _merge_instancing(old, given[:2])
    flags = HEADER_FLAGS.get(key, 0)
    return (old[0] & ~flags | command[0] & flags, *given)


def _merge_buffers(old: Command, command: list[int]) -> Command:
    """Those that the command names, whole; the address and size of one that says so stay."""
    merged = list(old)
    for at in range(1, len(command) - vertices.BUFFER_DWORDS + 1, vertices.BUFFER_DWORDS):
        head, *where = command[at : at + vertices.BUFFER_DWORDS]
        number = vertices.BUFFER_INDEX.get(head)
        if number >= VERTEX_BUFFER_COUNT:
            continue
        place = 1 + number * vertices.BUFFER_DWORDS
        merged[place] = head | vertices.ADDRESS_MODIFY.mask
        if head & vertices.ADDRESS_MODIFY.mask:
            merged[place + 1 : place + vertices.BUFFER_DWORDS] = where
    return tuple(merged)


def _merge_instancing(old: Command, given: list[int]) -> Command:
    """That of the element which the command names."""
    number = vertices.INSTANCING_ELEMENT.get(given[0])
    if number >= ELEMENT_COUNT:
        return old
    place = number * vertices.INSTANCING_DWORDS
    return (*old[: place + 1], *given, *old[place + vertices.INSTANCING_DWORDS :])


def _pack_load(key: int, data: bytes, pages: int) -> bytes:
    """A load command with ``data`` (whole dwords) behind it, filled up to whole pages."""
    header = key << _KEY_SHIFT | (media.LOAD_DWORDS - _LENGTH_BIAS + len(data) // 4)
    words = array("I", (header, 0, len(data), 0))
    return (words.tobytes() + data).ljust(pages * PAGE_SIZE, b"\0")


def _unpack_load(key: int, pages: bytes) -> bytes | None:
    """What the load command in ``pages`` carries; None where there is more than that."""
    header, zero, size, start = array("I", pages[:_LOAD_BYTES])
    end = _LOAD_BYTES + size
    data = pages[_LOAD_BYTES:end]
    expected = key << _KEY_SHIFT | (media.LOAD_DWORDS - _LENGTH_BIAS + len(data) // 4)
    if header != expected or zero or start or len(data) != size or size & 3:
        return None
    return data if pages[end:] == _NOTHING[: len(pages) - end] else None


def _cold(key: int, dwords: int) -> Command:
    header = key << _KEY_SHIFT | max(0, dwords - _LENGTH_BIAS)
    command = [header, *[0] * (dwords - 1)]
    if key == _SELECT:
        command[0] |= media.SELECT_MASK.mask
    if key == VERTEX_BUFFERS:
        for number in range(VERTEX_BUFFER_COUNT):
            head = vertices.BUFFER_INDEX.put(number, vertices.ADDRESS_MODIFY.mask)
            command[1 + number * vertices.BUFFER_DWORDS] = head
    if key == INSTANCING:
        size = vertices.INSTANCING_DWORDS
        one = key << _KEY_SHIFT | (size - _LENGTH_BIAS)
        command = [word for number in range(ELEMENT_COUNT) for word in (one, number, 0)]
    if key == BASE_ADDRESS:
        for place in media.BASE_PLACES:
            command[place.base] = media.BASE_MODIFY
            if place.size is not None and place is not media.BINDLESS_SURFACE_STATE:
                command[place.size] = media.BASE_MODIFY
    return tuple(command)


def _fixed_bits(key: int, command: Command) -> Command:
    """Bits of a kept command that are the same whatever it says."""
    bits = [0xFFFF_FFFF & ~HEADER_FLAGS.get(key, 0), *[0] * (len(command) - 1)]
    if key == _SELECT:
        bits[0] &= ~media.SELECT.mask
    if key == BASE_ADDRESS:
        bits = [bits[0], *(word & media.BASE_MODIFY for word in command[1:])]
    if key == VERTEX_BUFFERS:
        head = vertices.BUFFER_INDEX.mask | vertices.ADDRESS_MODIFY.mask
        bits[1 :: vertices.BUFFER_DWORDS] = [head] * VERTEX_BUFFER_COUNT
    if key == INSTANCING:
        bits = [0xFFFF_FFFF, vertices.INSTANCING_ELEMENT.mask, 0] * ELEMENT_COUNT
    return tuple(bits)


_COLD: Final = {key: _cold(key, dwords) for key, dwords in STATE_COMMANDS.items()}
_PLACES: Final = {
    key: sum(list(STATE_COMMANDS.values())[:number]) for number, key in enumerate(STATE_COMMANDS)
}
"""Dword of the image at which each command begins."""
_COMMANDS_SIZE: Final = 4 * sum(STATE_COMMANDS.values())


def _number(words: list[int]) -> int:
    return int.from_bytes(array("I", words).tobytes(), "little")


_FIXED_WORDS: Final = [word for key, command in _COLD.items() for word in _fixed_bits(key, command)]
_SHAPE: Final = _number(
    [
        word & fixed
        for word, fixed in zip(
            (word for command in _COLD.values() for word in command), _FIXED_WORDS, strict=True
        )
    ]
)
_FIXED: Final = _number(_FIXED_WORDS) | ((1 << 8 * _COMMANDS.stop) - (1 << 8 * _COMMANDS_SIZE))
"""With what lies behind the commands, which is 0."""
