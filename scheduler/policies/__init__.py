"""The policies, one file each, and their names on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scheduler.policies.fifo import Fifo
from scheduler.policies.timeslice import Timeslice
from scheduler.policy import Policy

POLICIES: Mapping[str, Callable[[], Policy]] = {"fifo": Fifo, "timeslice": Timeslice}
"""Each makes a policy with its usual numbers."""
