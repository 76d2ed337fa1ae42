"""An instruction's meaning recorded once and played back for each execution.

`semantics.evaluate` decides by the instruction alone what to do with its sources. A `Recorder` lets
it decide once: it answers with numbered slots, works out at once what does not depend on the
sources, and keeps the operations that are left for `Tape.play`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mediator.softgpu.eu.semantics.step import Accumulator, Inputs, Outcome
from mediator.softgpu.eu.semantics.table import evaluate

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.numpy_ops import NumpyOps
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.semantics.ops import Ops


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that is known when the tape is played."""

    number: int


class Recorder:
    """Stands for `Ops` while a tape is made: every operation of it, by name."""

    def __init__(self, ops: NumpyOps, slots: int) -> None:
        self._ops = ops
        self._slots = slots
        self.steps: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self._ops, name)

        def record(*arguments: Any) -> Any:
            if not any(isinstance(each, Slot) for each in arguments):
                return function(*arguments)
            self.steps.append((function, arguments))
            self._slots += 1
            return Slot(self._slots - 1)

        return record


class Tape:
    """The operations of one instruction under one float mode.

    ``known`` has the sources that are immediates, None for the others. ``predicate``: whether it is
    an input. ``accumulator``: in how many parts that is one (0 to 2).
    """

    def __init__(
        self,
        ops: NumpyOps,
        instruction: Instruction,
        known: Sequence[Any],
        *,
        predicate: bool,
        accumulator: int,
    ) -> None:
        slots = [Slot(n) for n in range(len(known) + predicate + accumulator)]
        recorder = Recorder(ops, len(slots))
        sources = [
            slot if value is None else value for slot, value in zip(slots, known, strict=False)
        ]
        behind = slots[len(known) :]
        chosen = behind.pop(0) if predicate else None
        before: Accumulator[Any] | None = Accumulator(*behind) if behind else None
        inputs: Inputs[Any, Any] = Inputs(sources, chosen, before)
        with np.errstate(all="ignore"):
            self.outcome: Outcome[Any, Any] = evaluate(
                cast("Ops[Any, Any]", recorder), instruction, inputs
            )
        """What `evaluate` gave: slots, for `value`, or what is the same for all executions."""
        # In a list of values the inputs come first, then the constants, then the results.
        self._inputs = len(slots)
        self._constants = [
            each
            for _, arguments in recorder.steps
            for each in arguments
            if not isinstance(each, Slot)
        ]
        constants = iter(range(self._inputs, self._inputs + len(self._constants)))
        self._steps = [
            (
                function,
                itemgetter(
                    *(
                        self._place(each) if isinstance(each, Slot) else next(constants)
                        for each in arguments
                    )
                ),
            )
            for function, arguments in recorder.steps
        ]

    def play(self, inputs: list[Any]) -> list[Any]:
        """Every value of the execution, for inputs in the order of the slots."""
        values = inputs + self._constants
        for function, arguments in self._steps:
            values.append(function(*arguments(values)))
        return values

    def value(self, what: Any, values: list[Any]) -> Any:
        """What a part of `outcome` is among the values that `play` gave."""
        return values[self._place(what)] if isinstance(what, Slot) else what

    def _place(self, slot: Slot) -> int:
        if slot.number < self._inputs:
            return slot.number
        return slot.number + len(self._constants)
