"""The attacker, a process: episodes of random steps, each repeatable from its seed alone.

An episode begins with a connection to a vGPU that the last one left, and ends by leaving in some
manner. Before each step it tells what comes, so that also one that kills it is known.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time

from mmio_trap.vfio_user.protocol import PeerError, RequestError
from tests.fuzz.hostile_guest.action import Action
from tests.fuzz.hostile_guest.action_table import ACTIONS, ENDINGS, KERNELS
from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest, Gone, Stolen
from tests.fuzz.hostile_guest.chance import Chance, chance_of
from tests.fuzz.hostile_guest.child import tell, told_to_stop

_LENGTHS = (3, 20, 60, 60, 200, 500)
"""Steps of an episode."""
_USABLE = 3
"""In one of so many episodes the vGPU must first serve an honest driver."""


class CutOff(AssertionError):
    """The server ended the connection of a client that had kept to the protocol."""


class Episode:
    """One guest from its coming to its going."""

    def __init__(self, seed: int, number: int, only: str = "", kernels: bool = False) -> None:
        self.seed = seed
        self.number = number
        self.only = only
        """Actions whose name contains this; all when empty."""
        self.actions = (*ACTIONS, *KERNELS) if kernels else ACTIONS
        self.plan = chance_of(seed, number, "plan")
        self.steps = self.plan.choice(_LENGTHS)

    def run(self, path: str, secret: int, mark: int, limit: int | None = None) -> None:
        """All steps, or the first ``limit``. Raises AssertionError for what must not be."""
        guest = AttackerGuest(path, secret, mark)
        try:
            with guest:
                self._live(guest, limit)
        except (PeerError, ConnectionError, BrokenPipeError) as error:
            if not guest.may_be_cut_off:
                raise CutOff(f"episode {self.number}: {error}") from error
        except Gone:
            return

    def _live(self, guest: AttackerGuest, limit: int | None) -> None:
        usable = self.plan.once_in(_USABLE)
        tell(at=time.monotonic(), episode=self.number, step=-1, action="usable" if usable else "")
        if usable:
            guest.prove_usable()
        else:
            guest.initialise()
        for step in range(self.steps if limit is None else min(limit, self.steps)):
            if step % 8 == 0 and told_to_stop():
                return
            if guest.full:
                guest.reboot()
            self._step(guest, chance_of(self.seed, self.number, step), step, self.actions)
        guest.look_for_loot()
        if limit is None:
            self._step(guest, chance_of(self.seed, self.number, "end"), self.steps, ENDINGS)

    def _step(
        self, guest: AttackerGuest, chance: Chance, step: int, table: tuple[Action, ...]
    ) -> None:
        enabled = [action for action in table if action.needs(guest)]
        if table is self.actions and self.only:
            enabled = [action for action in enabled if self.only in action.name] or enabled
        (action,) = chance.choices(enabled, [action.weight for action in enabled])
        tell(at=time.monotonic(), episode=self.number, step=step, action=action.name)
        try:
            action.do(guest, chance)
        except RequestError as error:
            tell(refused=error.errno)


def main() -> None:
    """Episodes until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--episode", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--secret", type=int, required=True)
    parser.add_argument("--mark", type=int, required=True)
    options = parser.parse_args()
    for number in itertools.count(options.episode):
        if told_to_stop():
            break
        try:
            episode = Episode(options.seed, number, options.only, options.kernels)
            episode.run(options.path, options.secret, options.mark, options.steps)
        except Stolen as stolen:
            tell(violation=f"stolen: {stolen}")
            sys.exit(3)
        except (AssertionError, TimeoutError) as error:
            tell(violation=f"{type(error).__name__}: {error}")
            sys.exit(3)
        if options.steps is not None:
            break


if __name__ == "__main__":
    main()
