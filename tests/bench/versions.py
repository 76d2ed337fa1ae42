"""Two versions of vgpud: what mediation costs each, in one run.

The driver and the lengths of requests are the same, and the sides take turns: this version and the
other, natively and in each mode. ``now`` and ``other`` are mediated over native throughput of a
version, ``change`` is the one over the other; the last rows have geometric means.

    python -m tests.bench.versions /path/to/another/.venv/bin/vgpud [ROUNDS]
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import geometric_mean

from tests.bench.busy_driver import ENGINES
from tests.bench.mediated_requests import LENGTHS_US, ROUNDS, guests, served, throughput
from tests.integration.vgpu_rig import ALL, MEDIATED, NATIVE

NOW, OTHER = "now", "other"


def compare(other: Path, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Rows by request and mode: both ratios, and their quotient."""
    programs = {NOW: None, OTHER: other}
    rows: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        sides = {
            (version, mode): served(mode, program)
            for version, program in programs.items()
            for mode in ALL
        }
        drivers = guests(stack, sides)
        for engine in ENGINES:
            for requests in throughput(drivers, (NOW, NATIVE), engine, rounds):
                for mode in MEDIATED:
                    row = {
                        version: requests.ratio((version, mode), (version, NATIVE))
                        for version in programs
                    }
                    rows[f"{requests.name} {mode}"] = row | {"change": row[NOW] / row[OTHER]}
    return rows | _means(rows)


def _means(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Of each mode, and of each length on each engine."""
    ends = {str(mode): [name for name in rows if name.endswith(str(mode))] for mode in MEDIATED}
    begins = {
        of: [name for name in rows if name.startswith(of)]
        for of in (f"{engine} {length} us " for engine in ENGINES for length in LENGTHS_US)
    }
    return {
        f"geometric mean {of}": _mean([rows[name] for name in names])
        for of, names in (ends | begins).items()
    }


def _mean(mine: list[dict[str, float]]) -> dict[str, float]:
    return {key: geometric_mean(row[key] for row in mine) for key in (NOW, OTHER, "change")}


def main(arguments: list[str]) -> int:
    """Print the table of this version and the one named."""
    if not 1 <= len(arguments) <= 2 or not Path(arguments[0]).is_file():
        print(__doc__, file=sys.stderr)
        return 2
    for name, row in compare(Path(arguments[0]), *map(int, arguments[1:])).items():
        print(f"{name:48}", *(f"{key} {value:.3f}" for key, value in row.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
