"""Jobs as data: grids against the plain list of their groups, shapes, and bases of messages."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from mediator.softgpu.eu.bases import Bases as MessageBases
from mediator.softgpu.eu.dispatch.job import Grid, GroupId, message_bases
from mediator.softgpu.eu.dispatch.media_state import Base, Bases
from tests.unit.mediator.eu.job_bench import make_job

GRIDS = [
    Grid(start, end)
    for start in ((0, 0, 0), (1, 2, 3), (2, 0, 1))
    for end in product((0, 2, 3, 5), (1, 2, 4), (1, 3, 5))
]
TOP = (1 << 48) - 1


def _groups(grid: Grid) -> list[GroupId]:
    """What a walker walks: rows begin at the start's x, planes at its y."""
    x, y, z = (range(start, end) for start, end in zip(grid.start, grid.end, strict=True))
    return [(at_x, at_y, at_z) for at_z in z for at_y in y for at_x in x]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_is_the_list_of_its_groups(grid: Grid) -> None:
    groups = _groups(grid)
    assert grid.count == len(groups)
    assert grid.first == (groups[0] if groups else None)
    assert [grid.number(group) for group in groups] == list(range(len(groups)))
    assert [grid.at(number) for number in range(len(groups) + 2)] == [*groups, None, None]
    following: list[GroupId | None] = [*groups[1:], None]
    assert [grid.after(group) for group in groups] == (following if groups else [])
    around = product(range(7), range(7), range(7))
    assert [group for group in around if grid.inside(group)] == sorted(groups)


def test_a_group_inside_is_itself() -> None:
    grid = Grid((1, 2, 3), (4, 4, 4))
    assert grid.inside((3, 3, 3)) == (3, 3, 3)
    assert grid.inside((4, 3, 3)) is None


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 1), (2, 3, 5), (4, 4, 4)])
def test_a_shape_has_threads_in_three_directions(size: tuple[int, int, int]) -> None:
    assert make_job(size=size).shape.threads == size[0] * size[1] * size[2]


def test_messages_are_relative_to_the_bases_that_the_job_has() -> None:
    job = make_job()
    general, surface, dynamic, _, instruction, bindless = (
        Base(n << 20, n << 12) for n in range(1, 7)
    )
    bases = Bases(general, surface, dynamic, Base(7, 7), instruction, bindless)
    job = replace(job, bases=bases)
    assert message_bases(job) == MessageBases(
        surface=2 << 20,
        dynamic=3 << 20,
        general=1 << 20,
        general_size=1 << 12,
        bindless=6 << 20,
        bindless_size=6 << 12,
        instruction=5 << 20,
        binding_table=(2 << 20) + 0x40,
        sampler_table=(3 << 20) + 0x1000,
    )


def test_tables_behind_the_end_of_48_bits_are_at_their_start() -> None:
    job = make_job()
    last = Base(TOP & -0x1000, 0)
    job = replace(job, bases=replace(job.bases, surface=last, dynamic=last))
    tables = replace(job.descriptor, binding_table=0x1020, samplers=0x1040)
    found = message_bases(replace(job, descriptor=tables))
    assert (found.binding_table, found.sampler_table) == (0x20, 0x40)
