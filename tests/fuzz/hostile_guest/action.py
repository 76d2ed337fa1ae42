"""One thing that the attacker can do, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance

Do = Callable[[AttackerGuest, Chance], None]


def always(_: AttackerGuest) -> bool:
    return True


def has_context(guest: AttackerGuest) -> bool:
    return bool(guest.contexts)


def has_map(guest: AttackerGuest) -> bool:
    return bool(guest.maps)


@dataclass(frozen=True, slots=True)
class Action:
    """``do`` draws everything random from its ``Chance``, so that a seed repeats it."""

    do: Do
    weight: int = 10
    needs: Callable[[AttackerGuest], bool] = always

    @property
    def name(self) -> str:
        return f"{self.do.__module__.rpartition('.')[2]}.{self.do.__name__}"
