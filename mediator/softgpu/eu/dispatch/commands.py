"""GPGPU and media commands as the command streamer meets them.

Source: PRM SKL vol 2a. A command that starts threads ends when they have ended, so all that is
ordered behind it by flushes and stalls is ordered behind it anyway. It runs a slice at a time:
between two the engine looks at its lists and at the guest's memory map.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from mediator.gen9.eu import media, walker
from mediator.gen9.registers import MI_PREDICATE_RESULT
from mediator.softgpu.eu.dispatch import interrupted, media_state
from mediator.softgpu.eu.dispatch.interrupted import Interrupted
from mediator.softgpu.eu.dispatch.media_state import BadState
from mediator.softgpu.eu.dispatch.running import Abandoned, KernelFault
from mediator.softgpu.eu.dispatch.walker import object_job, walker_job
from mediator.softgpu.outcome import IllegalCommand, Stop
from mediator.softgpu.pipeline_state import BASE_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob
    from mediator.softgpu.eu.dispatch.run import Run
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

_ANYWHERE: Final = 0
_BETWEEN_COMMANDS: Final = 2
"""Levels of preemption; 1 is between groups."""
START_COST: Final = 64
"""What starts threads takes as long as so many other commands, be there ever so few of them."""
_QWORD: Final = (1 << 64) - 1
_DWORD: Final = 0xFFFF_FFFF


def curbe_load(streamer: Streamer, command: list[int]) -> Outcome:
    """MEDIA_CURBE_LOAD: constants are read now."""
    data = _load(streamer, command, media.CURBE_START.mask, media.CURBE_BYTES)
    streamer.host.pipeline.load_constants(data)
    return None


def descriptor_load(streamer: Streamer, command: list[int]) -> Outcome:
    """MEDIA_INTERFACE_DESCRIPTOR_LOAD: descriptors are read now."""
    most = media.DESCRIPTORS * media.DESCRIPTOR_BYTES
    data = _load(streamer, command, media.DESCRIPTOR_START.mask, most)
    streamer.host.pipeline.load_descriptors(data)
    return None


def _load(streamer: Streamer, command: list[int], start: int, most: int) -> bytes:
    """What a load command brings. In an image it carries that with it."""
    if len(command) < media.LOAD_DWORDS:
        raise IllegalCommand(f"{command[0]:#010x} of {len(command)} dwords loads nothing")
    if streamer.context.image:
        words = command[media.LOAD_DWORDS :]
        return struct.pack(f"<{len(words)}I", *words)
    size = media.LOAD_BYTES.get(command[media.LOAD_LENGTH])
    if size > most:
        raise IllegalCommand(f"{command[0]:#010x} of {size} bytes, {most} are the most")
    where = media_state.bases(streamer.host.pipeline.command(BASE_ADDRESS)).dynamic
    address = where.address + (command[media.LOAD_START] & start)
    return streamer.host.ppgtt.read(media_state.wrap(address), (size + 3) & ~3)


def gpgpu_walker(streamer: Streamer, command: list[int]) -> Outcome:
    """GPGPU_WALKER. In an image: the walker at which its context was interrupted goes on."""
    context, host = streamer.context, streamer.host
    if context.image:
        context.interrupted = interrupted.of_command(command)
        return None
    if command[0] & walker.PREDICATED:
        # What began goes on: the condition was looked at before.
        result = host.read_register(streamer.mmio_base + MI_PREDICATE_RESULT)
        if not result & 1 and not streamer.goes_on:
            return None

    def job() -> KernelJob:
        return walker_job(host.pipeline, host.ppgtt, command, _dimensions(streamer, command))

    return run_threads(streamer, command, job, _count)


def media_object(streamer: Streamer, command: list[int]) -> Outcome:
    """MEDIA_OBJECT: one thread."""
    host = streamer.host

    def job() -> KernelJob:
        return object_job(host.pipeline, host.ppgtt, command)

    return run_threads(streamer, command, job, _count)


def _dimensions(streamer: Streamer, command: list[int]) -> GroupId:
    if command[0] & walker.INDIRECT_DIMENSIONS:
        x, y, z = (streamer.host.read_register(at) for at in walker.DISPATCH_DIMENSIONS)
    else:
        x, y, z = (command[at] if at < len(command) else 0 for at in walker.ENDS)
    return x, y, z


def run_threads(
    streamer: Streamer,
    command: Sequence[int],
    job: Callable[[], KernelJob],
    count: Callable[[Streamer], None],
) -> Outcome:
    """Run threads for a slice, and come back to them in the next run if that was not enough.

    ``command`` has started them, with all its dwords; ``count`` counts the channels that were
    dispatched in the slice.
    """
    host, context = streamer.host, streamer.context
    if context.workaround:
        raise IllegalCommand("threads in a context work-around batch")
    units = host.units
    found = streamer.take_interrupted()
    leaving = may_leave(streamer)
    try:
        with host.aside():
            run = _begin(streamer, found, job, leaving=leaving)
            ended = units.advance(run, leaving=leaving, abandoned=lambda: host.abandon)
    except Abandoned:  # nothing has begun
        context.interrupted = found or Interrupted(streamer.place, None)
        return Stop.ATTENTION if host.abandon or leaving else Stop.QUANTUM
    except (BadState, KernelFault) as error:
        units.counters.refused += 1
        raise IllegalCommand(str(error)) from error
    finally:
        count(streamer)
    if ended:
        return streamer.charge(START_COST, len(command))
    context.interrupted = Interrupted(streamer.place, run.following, run=run)
    if leaving and (host.preemption_level == _ANYWHERE or not run.held_bytes):
        return Stop.ATTENTION
    return Stop.QUANTUM


def may_leave(streamer: Streamer) -> bool:
    """The context is asked to leave its engine, and may where threads run."""
    host = streamer.host
    asked = host.attention and streamer.context.arbitration
    return asked and host.preemption_level < _BETWEEN_COMMANDS


def _begin(
    streamer: Streamer, found: Interrupted | None, job: Callable[[], KernelJob], *, leaving: bool
) -> Run:
    host = streamer.host
    units, space, image = host.units, host.ppgtt, host.context_page

    def begin(following: GroupId | None) -> Run:
        return units.begin(
            job(), space, following, image, leaving=leaving, abandoned=lambda: host.abandon
        )

    if found is None:
        return begin(None)
    if found.run is not None:
        return found.run
    if found.token != interrupted.NO_TOKEN:
        return units.claim(found.token, space)
    return begin(found.following)


def _count(streamer: Streamer) -> None:
    """CS_INVOCATION_COUNT, which belongs to the context."""
    host, at = streamer.host, walker.THREADS_DISPATCHED
    channels = host.units.take_channels()
    if channels:
        count = (streamer.read_register_u64(at) + channels) & _QWORD
        host.write_register(at, count & _DWORD)
        host.write_register(at + 4, count >> 32)
