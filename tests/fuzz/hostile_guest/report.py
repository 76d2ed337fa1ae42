"""The record of a trial, for people."""

from __future__ import annotations

from tests.fuzz.hostile_guest.process_figures import ProcessFigures
from tests.fuzz.hostile_guest.record import Record


def report(record: Record) -> str:
    """Some twenty lines."""
    rates, held = record.rates, record.holdings
    steps = sum(record.steps.values())
    altered = [name for name in ("strict", "kernels") if getattr(record, name)]
    attack = f"{record.attacked_s:.0f} s, {record.episodes} episodes, {steps} steps"
    quiet = f"alone {rates.alone:.1f}, entitled {rates.entitled:.1f}"
    attacked = f"attacked {rates.attacked:.1f}, afterwards {rates.afterwards:.1f}"
    rows = [
        ("mode, seed", ", ".join((record.mode, str(record.seed), *altered))),
        ("attack", f"{attack}, {record.killed} kills"),
        ("neighbour", f"{record.rounds} rounds verified; {record.newcomers} newcomers served"),
        ("rounds a second", f"{quiet}, {attacked}"),
        ("share of entitlement", f"{rates.share:.2f}; lowest over 2 s {rates.lowest_share:.2f}"),
        (
            "worst round",
            f"{record.worst_round_s:.3f} s; without the machine's part {record.worst_own_s:.3f} s",
        ),
        *(
            (f"daemon {name}", _figures(figures))
            for name, figures in (
                ("without clients", held.empty),
                ("before", held.before),
                ("at most", held.most),
                ("after", held.after),
                ("when all had left", held.left),
            )
        ),
        ("processor when idle", f"{held.idle_cpu_s:.2f} s of 2 s"),
    ]
    lines = [f"{name:26} {value}" for name, value in rows]
    for slow in record.slow_rounds[:5]:
        beside = ", ".join(slow.steps) or "nothing"
        lines.append(
            f"  {slow.span.seconds:.3f} s ({slow.machine_s:.3f} machine's) beside {beside}"
        )
    lines += [f"FAILED: {violation}" for violation in record.violations]
    if record.violations:
        lines.append(f"again: {again(record)}")
    return "\n".join(lines)


def again(record: Record) -> str:
    """The command that repeats the episode that ran last."""
    return (
        "python -m tests.fuzz.hostile_guest --seconds 30 "
        f"--mode {record.mode} --seed {record.seed} --episode {record.last_episode} "
        f"--steps {max(1, record.last_step + 1)}"
        + (" --strict" if record.strict else "")
        + (" --kernels" if record.kernels else "")
    )


def _figures(figures: ProcessFigures | None) -> str:
    if figures is None:
        return "not measured"
    return (
        f"{figures.resident_kib >> 10} MiB resident, {figures.address_space_kib >> 10} MiB of "
        f"addresses, {figures.descriptors} descriptors, {figures.threads} threads, "
        f"{figures.children} children"
    )
