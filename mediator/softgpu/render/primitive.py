"""3DPRIMITIVE as the command streamer meets it.

Source: PRM SKL vol 2a. A draw ends when its threads have ended, as a walker does. One that asks for
what is not built has no effect, and is counted with the commands that are passed over.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mediator.gen9 import render
from mediator.gen9.registers import MI_PREDICATE_RESULT
from mediator.softgpu.eu.dispatch.commands import START_COST, may_leave, run_threads
from mediator.softgpu.eu.dispatch.media_state import BadState
from mediator.softgpu.outcome import Stop
from mediator.softgpu.render.draw import draw_job
from mediator.softgpu.render.draw_state import DrawState
from mediator.softgpu.render.not_built import NotBuilt

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.job import KernelJob
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

_LOG: Final = logging.getLogger(__name__)
NAME: Final = "3DPRIMITIVE"
_PART_COST: Final = 8
"""Each element of a draw's vertices, and each surface, takes as long as so many other commands."""


def primitive(streamer: Streamer, command: list[int]) -> Outcome:
    """Draw, a slice of time at a time. A draw that has not begun waits for who wants the engine."""
    host, context = streamer.host, streamer.context
    goes_on = streamer.goes_on
    # What the draw before has found is not built is still not: the log has the reason.
    known = isinstance(host.pipeline.decoded, str) and not goes_on
    if known or context.image or context.workaround:
        _pass_over(streamer)
        return None
    if goes_on:
        outcome = run_threads(streamer, command, lambda: _same(streamer, command), _discard_count)
    else:
        at = streamer.mmio_base + MI_PREDICATE_RESULT
        if command[0] & render.PREDICATED and not host.read_register(at) & 1:
            return None
        if may_leave(streamer):
            return Stop.ATTENTION
        outcome = _begin(streamer, command)
    return outcome or streamer.charge(_cost(host.pipeline.decoded), len(command))


def _begin(streamer: Streamer, command: list[int]) -> Outcome:
    host = streamer.host
    try:
        job = draw_job(host.pipeline, host.ppgtt, command)
    except NotBuilt as reason:
        _LOG.debug("%s: a draw is passed over: %s", host.name, reason)
        _pass_over(streamer)
        return None
    if job is None:
        return None
    return run_threads(streamer, command, lambda: job, _discard_count)


def _cost(decoded: object) -> int:
    """What a look at a draw counts for, in commands."""
    if not isinstance(decoded, DrawState):
        return START_COST
    return START_COST + _PART_COST * (len(decoded.layout) + decoded.shader.table_entries)


def _same(streamer: Streamer, command: list[int]) -> KernelJob:
    """The job of a draw that was interrupted, whose packets its context has kept."""
    host = streamer.host
    try:
        job = draw_job(host.pipeline, host.ppgtt, command)
    except NotBuilt as reason:
        raise BadState(f"a draw that was interrupted asks for {reason}") from reason
    if job is None:
        raise BadState("a draw that was interrupted has no pixels")
    return job


def _pass_over(streamer: Streamer) -> None:
    """The command counts as one that is not carried out."""
    counters = streamer.host.counters
    counters.skipped[NAME] += 1
    counters.executed[NAME] -= 1


def _discard_count(streamer: Streamer) -> None:
    """CS_INVOCATION_COUNT has nothing of a draw's channels; whoever wants draws counted is not
    built."""
    streamer.host.units.take_channels()
