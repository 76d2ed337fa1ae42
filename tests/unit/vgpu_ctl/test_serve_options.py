"""The options of `vgpud serve`: what goes together, and the messages for what does not."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mediator.softgpu.strictness import KIND
from scheduler.policies.fifo import Fifo
from scheduler.policies.timeslice import Timeslice
from vgpu_ctl.serve_options import GivenOptions, SharedOptions, shared_options
from vgpu_ctl.vgpud import main

DIRECTORY = Path("sockets")


def shared(**given: object) -> SharedOptions:
    """The shared GPU asked for by these options and a directory."""
    options = GivenOptions(**{"vgpus": 2, "socket_dir": DIRECTORY, **given})  # type: ignore[arg-type]
    assert options.native_socket() is None
    return shared_options(options)


def test_a_socket_alone_is_native() -> None:
    assert GivenOptions(socket=Path("gpu")).native_socket() == Path("gpu")


def test_defaults() -> None:
    options = shared()
    assert (options.count, options.type.name) == (2, "V9_2")
    assert options.policy == Timeslice(16_000_000)
    assert options.weights == (8, 8)
    assert (options.address_space, options.ggtt) == ("shadow", "ballooned")
    assert options.paths == (DIRECTORY / "vgpu0", DIRECTORY / "vgpu1")


def test_everything_said() -> None:
    options = shared(
        type="V9_8", slice_ms=2.5, weight=(3, 1), address_space="direct", ggtt="private"
    )
    assert (options.type.name, options.weights) == ("V9_8", (3, 1))
    assert options.policy == Timeslice(2_500_000)
    assert (options.address_space, options.ggtt) == ("direct", "private")
    assert isinstance(shared(policy="fifo").policy, Fifo)


def test_a_strict_gpu_has_a_seed() -> None:
    assert shared().strictness is KIND
    drawn = [shared(strict=seed).strictness.answer_looks for seed in (0, 0)]
    assert all(drawn)
    first, second = ([look() for _ in range(20)] for look in drawn if look is not None)
    assert first == second


def test_private_ggtt_is_not_short() -> None:
    assert shared(vgpus=31, ggtt="private").count == 31
    assert shared(vgpus=3, ggtt="private", type="V9_1").type.most == 1


SHARED = ["--vgpus", "2", "--socket-dir", "d"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--socket PATH is missing, or --vgpus N and --socket-dir DIR"),
        (["--socket-dir", "d"], "--socket PATH is missing, or --vgpus N"),
        (["--vgpus", "2"], "--vgpus needs --socket-dir"),
        (["--vgpus", "2", "--socket", "s"], "--socket does not go with --vgpus: take --socket-dir"),
        (["--socket", "s", "--socket-dir", "d"], "--socket-dir needs --vgpus"),
        (["--socket", "s", "--type", "V9_1"], "--type needs --vgpus"),
        (["--socket", "s", "--policy", "fifo"], "--policy needs --vgpus"),
        (["--socket", "s", "--slice-ms", "4"], "--slice-ms needs --vgpus"),
        (["--socket", "s", "--weight", "4"], "--weight needs --vgpus"),
        (["--socket", "s", "--address-space", "direct"], "--address-space needs --vgpus"),
        (["--socket", "s", "--ggtt", "private"], "--ggtt needs --vgpus"),
        (["--socket", "s", "--strict", "1"], "--strict needs --vgpus"),
        (["--vgpus", "0", "--socket-dir", "d"], "0 is not in the range 1<=x<=31"),
        (["--vgpus", "32", "--socket-dir", "d"], "32 is not in the range 1<=x<=31"),
        (["--vgpus", "17", "--socket-dir", "d"], "16 fit; take --ggtt private"),
        ([*SHARED, "--type", "V9_1"], "1 fit; take --type V9_2"),
        (
            ["--vgpus", "20", "--socket-dir", "d", "--type", "V9_4"],
            "--vgpus and --type: 20 vGPUs of type V9_4 need 1280 MiB of mappable GGTT",
        ),
        ([*SHARED, "--type", "big"], "'big' is not one of 'V9_1', 'V9_2'"),
        ([*SHARED, "--weight", "1"], "--weight is there 1 times: give it once for each of the 2"),
        ([*SHARED, "--weight", "0", "--weight", "1"], "0 is not in the range 1<=x<=1024"),
        ([*SHARED, "--policy", "fifo", "--slice-ms", "4"], "--slice-ms does not go with"),
        (
            [*SHARED, "--policy", "fifo", "--weight", "4", "--weight", "4"],
            "--weight does not go with --policy fifo, which has no shares",
        ),
        ([*SHARED, "--policy", "lottery"], "'lottery' is not one of 'fifo', 'timeslice'"),
        ([*SHARED, "--slice-ms", "0"], "0.0 is not in the range 0.5<=x<=1000.0"),
        ([*SHARED, "--slice-ms", "nan"], "--slice-ms nan: a number"),
        ([*SHARED, "--address-space", "both"], "'both' is not one of 'shadow', 'direct'"),
        ([*SHARED, "--ggtt", "none"], "'none' is not one of 'ballooned', 'private'"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], message: str) -> None:
    ended = CliRunner().invoke(main, ["serve", *arguments], terminal_width=200)
    assert ended.exit_code == click.UsageError.exit_code
    assert message in " ".join(ended.output.split())
