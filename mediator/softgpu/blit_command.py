"""2D commands as the blitter's command streamer meets them; pixels are `blitter.py`'s affair.

Source: PRM SKL vol 2a, vol 10. 2D commands have no GGTT bit: the blitter works in the context's
own address space, wherever the command stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.registers import RING_SWCTRL
from mediator.softgpu.blitter import CommandError, Rectangle, clip_rectangle, execute_blit
from mediator.softgpu.outcome import IllegalCommand, Stop

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

_SWCTRL_BITS = 0xFFFF


def blit(streamer: Streamer, command: list[int]) -> Outcome:
    """A command that draws. One that is cut short goes on in the next run where it was."""
    host, context = streamer.host, streamer.context
    if context.workaround:
        raise IllegalCommand("a 2D command in a context work-around batch")
    control = host.read_register(streamer.mmio_base + RING_SWCTRL) & _SWCTRL_BITS
    begun = False

    def stop() -> bool:
        """Draw one piece at least before a pause, so that pauses cannot keep it from its end."""
        nonlocal begun
        first, begun = not begun, True
        return host.abandon or (not first and host.pause)

    try:
        with host.aside():
            stats = execute_blit(
                command, host.ppgtt, control, stop, Rectangle(*context.clip), context.drawn_rows
            )
    except CommandError as error:
        raise IllegalCommand(str(error)) from error
    context.drawn_rows = stats.rows if stats.aborted else 0
    return Stop.QUANTUM if stats.aborted else None


def setup(streamer: Streamer, command: list[int]) -> Outcome:
    """XY_SETUP_BLT, XY_SETUP_CLIP_BLT: the clip rectangle of the commands that follow."""
    try:
        clip = clip_rectangle(command)
    except CommandError as error:
        raise IllegalCommand(str(error)) from error
    streamer.context.clip = (clip.left, clip.top, clip.right, clip.bottom)
    return None
