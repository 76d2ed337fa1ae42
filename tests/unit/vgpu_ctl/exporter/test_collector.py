"""The collector of prometheus_client."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.vgpu_ctl.exporter.synthetic import SyntheticSource
from vgpu_ctl.exporter.collector import VgpudCollector
from vgpu_ctl.exporter.facts import FAMILIES


def test_the_source_is_asked_once_for_each_collection() -> None:
    source = SyntheticSource(lambda: 10.0)
    registry = CollectorRegistry()
    registry.register(VgpudCollector(source))
    assert source.asked == 0, "registering reads nothing"
    names = {metric.name for metric in registry.collect()}
    assert source.asked == 1
    assert names == {family.name.removesuffix("_total") for family in FAMILIES}


def test_a_registry_refuses_it_twice() -> None:
    registry = CollectorRegistry()
    registry.register(VgpudCollector(SyntheticSource(lambda: 0.0)))
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(VgpudCollector(SyntheticSource(lambda: 0.0)))


def test_a_value_can_be_asked_for() -> None:
    registry = CollectorRegistry()
    registry.register(VgpudCollector(SyntheticSource(lambda: 10.0)))
    assert registry.get_sample_value("vgpud_gpu_up", {"gpu": "gpu0"}) == 1.0
