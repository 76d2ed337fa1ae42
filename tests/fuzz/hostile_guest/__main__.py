"""``python -m tests.fuzz.hostile_guest --seconds 60 [--mode shadow/ballooned] [--seed N]``."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from pathlib import Path

from tests.fuzz.hostile_guest.record import Record
from tests.fuzz.hostile_guest.report import report
from tests.fuzz.hostile_guest.trial import Options, Trial
from tests.fuzz.hostile_guest.verdict import Bounds

MODES = ("shadow/ballooned", "shadow/private", "direct/ballooned", "direct/private")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.hostile_guest",
        description="A hostile guest beside an honest one.",
    )
    parser.add_argument("--seconds", type=float, required=True, help="of attack, modes together")
    parser.add_argument("--mode", choices=(*MODES, "all"), default="all", help="of vGPUs")
    parser.add_argument("--seed", type=int, help="which attack; another one each time without")
    parser.add_argument("--episode", type=int, default=0, help="the first one")
    parser.add_argument("--steps", type=int, help="only so many of that one episode")
    parser.add_argument("--only", default="", help="only actions whose name has this in it")
    parser.add_argument(
        "--calibration", type=float, default=6.0, help="seconds of each quiet phase"
    )
    parser.add_argument("--bounds", action="store_true", help="times fail, too: a quiet machine")
    parser.add_argument("--kernels", action="store_true", help="all compute, honest and not")
    parser.add_argument("--strict", action="store_true", help="a GPU as bad as hardware may be")
    parser.add_argument("--json", type=Path, help="directory for the records, a file for each mode")
    return parser.parse_args()


def run(options: Options) -> Record:
    """One trial and its report; SIGTERM ends the attack before its time, and all that follows it
    is measured all the same.
    """
    trial = Trial(options, lambda text: print(text, flush=True))
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: trial.cut_short())
    try:
        record = trial.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    trial.judge_times()
    if options.json is not None:
        record.write(options.json)
    print(report(record), flush=True)
    return record


def main() -> int:
    """Run the trials; 1 if anything failed."""
    asked = arguments()
    seed = random.SystemRandom().randrange(1 << 31) if asked.seed is None else asked.seed
    modes = MODES if asked.mode == "all" else (asked.mode,)
    failed = False
    if asked.json is not None:
        asked.json.mkdir(parents=True, exist_ok=True)
    for mode in modes:
        address_space, _, ggtt = mode.partition("/")
        print(f"--- {mode}, seed {seed}", flush=True)
        record = run(
            Options(
                address_space=address_space,
                ggtt=ggtt,
                seed=seed,
                seconds=asked.seconds / len(modes),
                calibration_s=asked.calibration,
                bounds=Bounds() if asked.bounds else None,
                episode=asked.episode,
                steps=asked.steps,
                only=asked.only,
                strict=asked.strict,
                kernels=asked.kernels,
                json=asked.json and asked.json / f"{address_space}-{ggtt}.json",
            )
        )
        failed |= bool(record.violations)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
