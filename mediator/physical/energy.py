"""How much energy a GPU may have used: an estimate from what its engines did. Facts and a sum.

No Gen9 desktop part tells it by engine, and a software GPU uses none of its own. The figures share
out what RAPL's graphics domain shows of such parts (Intel SDM vol 3B, "Package RAPL Domain"): some
12 W with the render engine busy at the highest frequency, below 0.5 W idle. Dynamic power grows
with frequency times the square of the voltage, and voltage about as frequency does.
"""

from __future__ import annotations

from collections.abc import Mapping

IDLE_WATTS = 0.4
ENGINE_WATTS: Mapping[str, float] = {"rcs0": 11.0, "bcs0": 3.0, "vcs0": 4.0, "vecs0": 2.5}
"""While an engine is busy at the highest frequency."""


def estimate_joules(
    seconds: float, engine_seconds: Mapping[str, float], frequency: float, maximum: float
) -> float:
    """Energy of a GPU that was up for ``seconds`` and whose engines were busy for so long.

    ``frequency`` and ``maximum`` in one unit; engines that are not known use nothing.
    """
    scale = (frequency / maximum) ** 3
    busy = sum(ENGINE_WATTS.get(name, 0.0) * used for name, used in engine_seconds.items())
    return IDLE_WATTS * seconds + busy * scale
