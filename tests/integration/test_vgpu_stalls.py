"""A neighbour beside what could hold it up: its part of the GPU, and its longest round.

Times, since that is what is promised. A busy machine is measured with it: rounds alone come just
before those beside, and one good try of three is enough, since what stalls does so every time.
"""

from __future__ import annotations

import pytest

from mediator.dispatcher import WATCHDOG_NS
from scheduler.policies.timeslice import SLICE_NS
from tests.bench.stalls import beside

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
TRIES = 3
LONGEST_MS = 250
ENTITLEMENT = 0.4
"""Of half of the rate alone. The aim is 0.9, and most tries have it; but an attacker's audits take
the interpreter that a software GPU needs too: beside them 0.58 was seen in three tries of three.
What is asked here tells a stop from that."""
STALLS = [
    "refused_loads",
    "update_gtt",
    "arb_checks",
    "deep_tables",
    "register_reads",
    "register_writes",
    "entry_writes",
    "aperture_reads",
    "short_reads",
    "maps",
    "remaps",
    "interrupts",
    "tiny_requests",
    "full_ports",
    "forcewake",
    "engine_resets",
    "full_resets",
    "function_resets",
    "reconnecting",
]
OVERRUNS = ["lingering", "one_by_one", "unarbitrated", "endless", "page_faults"]
"""Who holds the GPU for a slice and the watchdog's patience."""
PATIENCE_MS = (SLICE_NS + WATCHDOG_NS) / 1e6


@pytest.mark.parametrize("name", [*STALLS, *OVERRUNS])
def test_a_neighbour_goes_on(name: str) -> None:
    longest = LONGEST_MS + (PATIENCE_MS if name in OVERRUNS else 0)
    found = []
    for _ in range(TRIES):
        figures = beside(name)
        found.append(figures)
        allowed = longest + figures["worst_alone_ms"]
        if figures["of_entitlement"] >= ENTITLEMENT and figures["worst_beside_ms"] < allowed:
            return
    raise AssertionError(f"{name}: {found}")
