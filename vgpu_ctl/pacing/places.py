"""Who makes room when all places are taken: nobody can take so many that others find none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from typing import Protocol, TypeVar

from vgpu_ctl.pacing.fair_queue import Party

IDLE_S = 5.0
"""Who has asked for nothing for so long makes room for a client that finds none."""
FEW = 4
"""Places that a user or a process keeps, however few others have."""


class Tenant(Protocol):
    """Who has a place."""

    party: Party
    idle_since: float
    """When it has been served last, or come."""
    at_work: bool
    """It cannot be ended now."""

    @property
    def is_busy(self) -> bool:
        """It waits for us, not we for it."""


T = TypeVar("T", bound=Tenant)


def who_makes_room(taken: Collection[T], party: Party, now: float) -> tuple[T, str] | None:
    """The one that ends for a newcomer of ``party``, and why; None: nobody has to.

    The one that has been idle for longest, if that is long. Else one of the user who has most, if
    the newcomer's has clearly less; or, within the newcomer's user, of the process that has most.
    Root and the daemon's user are let in beside any other user while they have few themselves.
    """
    idle = [each for each in taken if not each.is_busy and now - each.idle_since > IDLE_S]
    if idle:
        return min(idle, key=_idle_since), "it was idle"
    own = party.user
    users = Counter(each.party.user for each in taken)
    user, most = users.most_common(1)[0]
    if user != own and (most > max(users[own] + 1, FEW) or _is_master(own, users[own], user)):
        found = [each for each in taken if each.party.user == user]
        return _one_of(found, f"user {user} has {most} of {len(taken)} places")
    processes = Counter(each.party.process for each in taken if each.party.user == own)
    process, most = processes.most_common(1)[0] if processes else (0, 0)
    if most > max(processes[party.process] + 1, FEW):
        found = [each for each in taken if each.party == (own, process)]
        return _one_of(found, f"process {process} has {most} of {len(taken)} places")
    return None


def _is_master(user: object, places: int, other: object) -> bool:
    masters = (0, os.geteuid())
    return user in masters and other not in masters and places < FEW


def _one_of(found: list[T], why: str) -> tuple[T, str] | None:
    """The one of ``found`` that has asked for nothing for longest, not while it works."""
    free = [each for each in found if not each.at_work]
    return (min(free, key=_idle_since), why) if free else None


def _idle_since(connection: Tenant) -> float:
    return connection.idle_since
