"""The table of metric families: named as Prometheus wants it, and complete."""

from __future__ import annotations

import re

import msgspec
import pytest

from vgpu_ctl.api import objects
from vgpu_ctl.exporter import facts
from vgpu_ctl.exporter.facts import FAMILIES, Family, Kind

NOT_EXPORTED = {
    "VgpuStats": {"uuid", "name", "gpu", "type", "engines", "compute"},
    "ComputeStats": set[str](),
    "EngineStats": set[str](),
    "GpuStats": {"name"},
    "Stats": {"gpus", "vgpus"},
}
"""Fields that are labels, or lists of what else is here; all others are some family's source."""


def test_names_are_one_each_and_all_are_in_the_table() -> None:
    constants = [value for value in vars(facts).values() if isinstance(value, Family)]
    assert constants == list(FAMILIES)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_name_says_what_it_counts(family: Family) -> None:
    assert re.fullmatch(r"vgpud(_[a-z]+)+", family.name)
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    stem = family.name.removesuffix("_total")
    assert family.unit in ("", "seconds", "bytes", "joules", "hertz", "ratio")
    assert stem.endswith(f"_{family.unit}") if family.unit else True
    assert family.help.endswith((".", "1 is no limit."))
    assert "\n" not in family.help
    assert "\\" not in family.help


def test_sources_are_fields_and_every_counter_is_one() -> None:
    named = {source for family in FAMILIES for source in family.source.split(", ") if source}
    for source in named:
        owner, field = source.split(".")
        assert field in fields(owner), source
    for owner, exempt in NOT_EXPORTED.items():
        for field in fields(owner) - exempt:
            assert f"{owner}.{field}" in named, f"{owner}.{field} is not exported"


def fields(owner: str) -> set[str]:
    """The fields of an object of the API."""
    return {field.name for field in msgspec.structs.fields(getattr(objects, owner))}
