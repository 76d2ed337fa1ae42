"""The corpus of kernels: real code, launches as a driver makes them, judges that find faults."""

import re
import struct

import pytest

from tests.eu_corpus import corpus
from tests.eu_corpus.cases import CASES
from tests.eu_corpus.launch import INSTRUCTION, FlatMemory

pytestmark = pytest.mark.modes


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_of_the_corpus(name: str) -> None:
    kernel = corpus.kernel(name)
    assert len(kernel.isa) % 8 == 0
    last = int.from_bytes(kernel.isa[-16:], "little")
    assert last & 0x7F in (0x31, 0x33)
    assert last >> 127 & 1, "the last word ends the thread"
    launch = kernel.launch()
    memory = FlatMemory(launch.segments)
    assert memory.read(launch.kernel_start, len(kernel.isa)) == kernel.isa
    assert launch.kernel_start > INSTRUCTION
    assert launch.check(memory.read), "a launch that did not run is found out"


def test_the_payload_is_what_the_descriptor_says() -> None:
    launch = corpus.kernel("guarded").launch()
    memory = FlatMemory(launch.segments)
    words = struct.unpack("<8I", memory.read(launch.bases["dynamic"] + 0x40, 32))
    assert launch.bases["instruction"] + words[0] == launch.kernel_start
    assert words[6] & 0x3FF == launch.threads == 2
    assert launch.right_mask == 0x7, "35 work items are one full thread and three channels"
    assert words[5] >> 16 == len(launch.per_thread[0]) // 32
    assert words[7] & 0xFF == len(launch.cross_thread) // 32
    registers = launch.registers((3, 1, 0), 1)
    assert struct.unpack_from("<8I", registers)[1] == 3
    assert struct.unpack_from("<8I", registers)[6] == 1
    # Channels 0 to 2 of the second thread are work items 32 to 34 of 5 x 7.
    assert struct.unpack_from("<3H", registers, 32) == (2, 3, 4)
    assert struct.unpack_from("<3H", registers, 32 + 64) == (6, 6, 6)


def test_surfaces_hold_the_arguments() -> None:
    launch = corpus.kernel("vadd").launch()
    memory = FlatMemory(launch.segments)
    surface_base = launch.bases["surface"]
    table = struct.unpack("<3I", memory.read(surface_base + launch.binding_table, 12))
    for entry, place in zip(table, launch.places, strict=True):
        assert place is not None
        words = struct.unpack("<16I", memory.read(surface_base + entry, 64))
        assert words[0] >> 29 == 4
        assert (words[8] | words[9] << 32) == place[0]
        size = (words[2] & 0x7F | (words[2] >> 16 & 0x3FFF) << 7 | words[3] >> 21 << 21) + 1
        assert size == place[1]


def test_the_assembler_undoes_the_disassembler() -> None:
    compiler = corpus.compiler()
    isa = corpus.kernel("scan").isa
    text = compiler.disassemble(isa)
    native = compiler.assemble(text.replace("{Compacted}", ""))
    assert len(native) > len(isa)
    assert _without_places(compiler.disassemble(native)) == _without_places(text)


def _without_places(text: str) -> list[str]:
    """Words of a listing but labels, which are offsets, and notes on compaction."""
    words = text.replace("{Compacted}", "").replace(":", " ").split()
    return [word for word in words if not re.fullmatch(r"L\d+", word)]
