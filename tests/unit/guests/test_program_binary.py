"""Programs of the patch-token format, made by hand."""

import struct

import pytest

from tests.eu_corpus.program_binary import FormatError, Parameter, Token, parse


def token(kind: int, *words: int, inline: bytes = b"") -> bytes:
    return struct.pack(f"<{2 + len(words)}I", kind, 8 + 4 * len(words), *words) + inline


def program(kernel_tokens: bytes, program_tokens: bytes = b"", isa: bytes = b"\x31" * 16) -> bytes:
    name, surfaces = b"vadd\0\0\0\0", bytes(68)
    head = struct.pack("<4s6I", b"CTNI", 1081, 12, 8, 1, 9, len(program_tokens))
    sizes = (len(name), len(kernel_tokens), len(isa) + 48, 0, 32, len(surfaces), len(isa))
    kernel = struct.pack("<IQ7I", 0, 0, *sizes)
    heaps = isa + bytes(48) + bytes(32) + surfaces
    return head + program_tokens + kernel + name + heaps + kernel_tokens


def environment(simd: int, barriers: int = 0) -> bytes:
    return token(Token.EXECUTION_ENVIRONMENT, 16, 8, 1, simd, 0, barriers)


def test_a_kernel_and_what_its_tokens_say() -> None:
    tokens = (
        environment(16, barriers=1)
        + token(Token.BINDING_TABLE_STATE, 64, 1, 0)
        + token(Token.STATELESS_GLOBAL_ARGUMENT, 0, 0, 32, 8)
        + token(Token.DATA_PARAMETER, Parameter.LOCAL_SIZE, 0, 12, 4, 4)
        + token(Token.LOCAL_SURFACE, 0, 2048)
        + token(Token.SCRATCH, 0, 4096)
        + token(Token.THREAD_PAYLOAD, 0, 1, 1, 0, 0, 1)
        + token(Token.DATA_PARAMETER_STREAM, 96)
        + token(27, 4, 0)
    )
    kernel = parse(program(tokens)).kernels["vadd"]
    assert kernel.isa == b"\x31" * 16
    assert (kernel.simd, kernel.barriers, kernel.required_size) == (16, True, (16, 8, 1))
    assert kernel.binding_table == (64, 1)
    assert (kernel.pointers[0].argument, kernel.pointers[0].offset) == (0, 32)
    assert kernel.parameters[0].offset == 12
    assert (kernel.local_bytes, kernel.scratch_bytes, kernel.cross_thread_bytes) == (2048, 4096, 96)
    assert kernel.local_ids == (True, True, False)
    assert kernel.indirect_payload


def test_constants_stand_behind_their_token() -> None:
    data = bytes(range(32))
    whole = program(environment(8), token(Token.PROGRAM_CONSTANTS, 0, 32, inline=data))
    assert parse(whole).constants == data
    assert parse(whole).kernels["vadd"].simd == 8


@pytest.mark.parametrize("length", [0, 3, 27, 30, 60, 100, 200])
def test_what_is_cut_off_is_refused(length: int) -> None:
    whole = program(environment(8))
    with pytest.raises(FormatError):
        parse(whole[:length])


def test_other_files_are_refused() -> None:
    with pytest.raises(FormatError):
        parse(b"\x7fELF" + bytes(60))
    with pytest.raises(FormatError):
        parse(b"MZ")
