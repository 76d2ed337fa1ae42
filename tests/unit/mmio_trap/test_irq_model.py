"""Interrupts against a model: every sequence of a few steps of device and client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product

import pytest

from mmio_trap.irq import INTX, MSI, Interrupts

STEPS = ("up", "down", "mask", "unmask", "trigger")


@pytest.fixture
def eventfd() -> Iterator[int]:
    made = os.eventfd(0, os.EFD_NONBLOCK)
    yield made
    os.close(made)


def taken(eventfd: int) -> int:
    """What was signalled since the last look."""
    try:
        return os.eventfd_read(eventfd)
    except BlockingIOError:
        return 0


class Model:
    """VFIO: an edge that meets a mask waits behind it; INTx is a level, masked as it fires."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.level = self.masked = self.pending = False
        self.fired = 0

    def step(self, name: str) -> None:
        match name:
            case "up":
                rises, self.level = not self.level, True
                if rises:
                    self.fire()
            case "down":
                self.level = False
            case "mask":
                self.masked = True
            case "unmask":
                held = self.masked and (self.pending or self.level)
                self.masked = self.pending = False
                if held:
                    self.fire()
            case _:
                self.fire()

    def fire(self) -> None:
        if self.masked:
            self.pending = self.index == MSI
            return
        self.fired += 1
        self.masked = self.index == INTX


@pytest.mark.parametrize("index", [INTX, MSI])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_every_sequence(index: int, length: int, eventfd: int) -> None:
    """Such as: trigger a masked MSI, line down, unmask: it was announced and comes."""
    for sequence in product(STEPS, repeat=length):
        interrupts, model = Interrupts((1, 1, 0, 1, 1)), Model(index)
        interrupts.set_triggers(index, 0, [eventfd])
        for name in sequence:
            match name:
                case "up" | "down":
                    interrupts.set_level(name == "up")
                case "mask":
                    interrupts.mask(index, 0)
                case "unmask":
                    interrupts.unmask(index, 0)
                case _:
                    interrupts.trigger(index, 0)
            model.step(name)
        assert (taken(eventfd), interrupts.delivered) == (model.fired, model.fired), sequence
        interrupts.close()


@pytest.mark.parametrize("index", [INTX, MSI])
def test_a_client_that_comes_when_the_line_is_up_hears_of_it(index: int, eventfd: int) -> None:
    interrupts = Interrupts((1, 1, 0, 1, 1))
    interrupts.set_level(True)
    interrupts.set_triggers(index, 0, [eventfd])
    assert taken(eventfd) == 1
    interrupts.set_triggers(index, 0, [eventfd])
    assert taken(eventfd) == 1
    interrupts.set_triggers(index, 0, [None])
    assert taken(eventfd) == 0
    interrupts.close()


def test_intx_is_not_driven_while_msi_is_there(eventfd: int) -> None:
    other = os.eventfd(0, os.EFD_NONBLOCK)
    interrupts = Interrupts((1, 1, 0, 1, 1))
    interrupts.set_triggers(INTX, 0, [other])
    interrupts.set_triggers(MSI, 0, [eventfd])
    interrupts.set_level(True)
    assert (taken(eventfd), taken(other)) == (1, 0)
    interrupts.unmask(INTX, 0)
    assert taken(other) == 0
    interrupts.disable(MSI)
    assert (taken(eventfd), taken(other)) == (0, 1)  # the line is up still, and INTx carries it
    interrupts.close()
    os.close(other)


def test_a_new_eventfd_hears_nothing_of_what_was_held_for_the_old_one(eventfd: int) -> None:
    interrupts = Interrupts((1, 2, 0, 1, 1))
    interrupts.set_triggers(MSI, 0, [eventfd, eventfd])
    for vector in (0, 1):
        interrupts.mask(MSI, vector)
        interrupts.trigger(MSI, vector)
    interrupts.set_triggers(MSI, 1, [eventfd])
    interrupts.unmask(MSI, 1)
    assert taken(eventfd) == 0
    interrupts.unmask(MSI, 0)
    assert taken(eventfd) == 1
    interrupts.close()


def test_the_line_is_the_first_vectors(eventfd: int) -> None:
    """The second is not held back by a line that is up, nor let go by it."""
    interrupts = Interrupts((1, 2, 0, 1, 1))
    interrupts.set_triggers(MSI, 0, [None, eventfd])
    interrupts.set_level(True)
    interrupts.mask(MSI, 1)
    interrupts.unmask(MSI, 1)
    assert taken(eventfd) == 0
    interrupts.close()
