"""The compiler process: ``python -m mediator.softgpu.eu.translator.worker``, code in, objects out.

It limits itself before it reads the first byte that a guest has influence on
(`mediator/softgpu/eu/translator/sandbox.py`). One that ends, for whatever reason, is replaced by
its owner (`mediator/softgpu/eu/translator/process.py`).
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final

from mediator.softgpu.eu.translator import sandbox
from mediator.softgpu.eu.translator.wire import REPLY, REQUEST, Reply, Status

_END: Final = bytes.fromhex("014d0020077f03003100600704020020e00f000610000082")
"""mov (8) r127 r3, and the end of a thread: translated once so that everything is loaded."""


def _read(count: int) -> bytes:
    """Exactly so many bytes of standard input; ends the process at its end."""
    parts = b""
    while len(parts) < count:
        part = os.read(0, count - len(parts))
        if not part:
            sys.exit(0)
        parts += part
    return parts


def _send(reply: Reply) -> None:
    data = REPLY.pack(reply.status, reply.seconds, len(reply.content)) + reply.content
    while data:
        data = data[os.write(1, data) :]


def translate(code: bytes, entry: int, simd: int, *, keep_all: bool, pair: bool) -> Reply:
    """Carry out one request."""
    # Limits come before anything large.
    from mediator.softgpu.eu.isa.instruction import IllegalInstruction
    from mediator.softgpu.eu.isa.program import Program
    from mediator.softgpu.eu.translator import kernel, liveness, pairs
    from mediator.softgpu.eu.translator.compiler import compile_text
    from mediator.softgpu.eu.translator.registers import Untranslatable
    from mediator.softgpu.eu.translator.worth import gains

    start = time.process_time()
    try:
        options = kernel.Options(kept=liveness.ALL if keep_all else 0)
        make, program = kernel.translate, Program.of(code, entry)
        if pair:
            make = pairs.translate_pair
            if not (keep_all or gains(program)):
                raise Untranslatable("two threads at a time gain nothing")
        content = compile_text(make(program, simd, options))
    except (Untranslatable, IllegalInstruction, RecursionError) as reason:
        text = str(reason) or type(reason).__name__
        return Reply(Status.REFUSED, time.process_time() - start, text.encode()[:1000])
    return Reply(Status.OBJECT, time.process_time() - start, content)


def answer(code: bytes, entry: int, simd: int, *, keep_all: bool, pair: bool) -> Reply:
    """Carry out one request, come what may: the next one is another guest's.

    Without memory the process ends: whose programs have taken it is not known.
    """
    try:
        return translate(code, entry, simd, keep_all=keep_all, pair=pair)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - our bug; this kernel alone pays for it
        text = f"{type(error).__name__}: {error}"
        return Reply(Status.REFUSED, 0.0, text.encode()[:1000])


def main(arguments: list[str]) -> None:
    """``worker <memory in bytes> <seconds of processor time for a request>``."""
    memory, seconds = int(arguments[0]), int(arguments[1])
    sandbox.limit(memory, 10 * seconds)
    # Loads everything, before no file can be opened any more.
    if translate(_END, 0, 8, keep_all=False, pair=False).status is not Status.OBJECT:
        sys.exit(1)
    sandbox.close_doors()
    _send(Reply(Status.READY, 0.0, b""))
    while True:
        simd, keep_all, pair, entry, length = REQUEST.unpack(_read(REQUEST.size))
        code = _read(length)
        sandbox.allow_seconds(seconds)
        _send(answer(code, entry, simd, keep_all=bool(keep_all), pair=bool(pair)))


if __name__ == "__main__":
    main(sys.argv[1:])
