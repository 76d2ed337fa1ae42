"""The host in this process: what it decides, what it tells, what it counts.

Its whole behaviour over the API is in tests/integration/test_control_*.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mediator.vgpu.vgpu_type import TYPES
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.methods import DefineParams, ModifyParams
from vgpu_ctl.api.objects import EventKind, VgpuState
from vgpu_ctl.config import Config, GpuConfig, LimitsConfig, SocketsConfig, TypeConfig
from vgpu_ctl.host.definition import Definition, new_uuid
from vgpu_ctl.host.event_bus import EventBus
from vgpu_ctl.host.gpu_choice import choose, reconfigured
from vgpu_ctl.host.host import Host
from vgpu_ctl.host.hosted_gpu import HostedGpu
from vgpu_ctl.host.slice_events import SliceEvents
from vgpu_ctl.host.stats import host_stats
from vgpu_ctl.paths import Paths
from vgpu_ctl.uevents import PciGpu

CONFIG = Config(
    gpus=(GpuConfig(name="a"), GpuConfig(name="b", pci="0000:00:02.0", ggtt="private")),
    types={"mine": TypeConfig(kind="private", weight=3)},
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "c", tmp_path / "r", tmp_path / "s")


@pytest.fixture
def host(paths: Paths) -> Iterator[Host]:
    made = Host(CONFIG, paths, EventBus())
    made.restore()
    yield made
    made.shut_down()


def create(host: Host, name: str, kind: str = "V9_4", gpu: str = "") -> None:
    host.create(DefineParams(name=name, type=kind, gpu=gpu), transient=False)


def test_gpus_and_types_as_they_are_shown(host: Host) -> None:
    create(host, "web", "V9_2")
    a, b = host.gpu_infos()
    assert (a.name, a.state, a.simulated, a.vgpus, a.detail) == ("a", "ready", True, ["web"], "")
    low = next(pool for pool in a.resources if pool.name == "mappable GGTT (aperture)")
    assert (low.unit, low.total, low.left) == ("bytes", 256 << 20, 128 << 20)
    assert low.holders == {"web": 128 << 20}
    assert (b.state, b.detail) == ("absent", "no PCI device 0000:00:02.0")
    assert {pool.name for pool in b.resources} == {"vGPU slots", "DMA space"}
    types = {each.name: each for each in host.type_infos()}
    assert types["V9_2"].available == {"a": 1}
    assert types["mine"].weight == 3
    assert types["passthrough"].memory_limit_bytes == 0


def test_as_many_as_the_configuration_allows(paths: Paths) -> None:
    """What is wrong with the wish itself is told first: `--if-not-exists` asks for a taken name."""
    host = Host(msgspec.structs.replace(CONFIG, limits=LimitsConfig(vgpus=2)), paths, EventBus())
    host.restore()
    for name in ("one", "two"):
        host.define(DefineParams(name=name, type="V9_4"))
    codes = []
    for name, kind in (("three", "V9_4"), ("one", "V9_4"), ("three", "V9_5")):
        with pytest.raises(ApiError) as caught:
            host.define(DefineParams(name=name, type=kind))
        codes.append(caught.value.code)
    assert codes == [ErrorCode.NO_CAPACITY, ErrorCode.EXISTS, ErrorCode.INVALID]
    host.shut_down()


def test_what_a_vgpu_was_defined_for(host: Host) -> None:
    """Is told beside what it has: of the one weight and GPU come, by the other they are kept."""
    create(host, "any", "mine")
    create(host, "pinned", "mine", gpu="a")
    host.modify(ModifyParams(vgpu="pinned", weight=7))
    found = [(each.gpu, each.wanted_gpu, each.weight, each.own_weight) for each in host.infos()]
    assert found == [("a", "", 3, None), ("a", "a", 7, 7)]
    back = host.modify(ModifyParams(vgpu="pinned", weight="type"))
    assert (back.weight, back.own_weight) == (3, None)


def test_a_foreign_gpu_is_shown_and_not_used(host: Host) -> None:
    listener = host.bus.listen()
    found = PciGpu("0000:00:03.0", 0x9A49, "i915", None, False)
    host.see_pci_gpus([found], {"0000:00:03.0"})
    host.see_pci_gpus([found], {"0000:00:03.0", "0000:00:02.0"})
    states = {gpu.name: gpu.state for gpu in host.gpu_infos()}
    assert states == {"a": "ready", "b": "ready", "0000:00:03.0": "unsupported"}
    host.see_pci_gpus([], set())
    told = [(event.kind.value, event.gpu) for event in listener.take(0)]
    assert told == [
        ("gpu-added", "0000:00:03.0"),
        ("gpu-added", "b"),
        ("gpu-removed", "b"),
        ("gpu-removed", "0000:00:03.0"),
    ]


def test_a_gpu_vanishes_under_its_vgpu(host: Host) -> None:
    host.see_pci_gpus([], {"0000:00:02.0"})
    create(host, "x", gpu="b")
    create(host, "y", gpu="a")
    host.see_pci_gpus([], set())
    x, y = host.infos()
    assert (x.state, x.error) == (VgpuState.ERROR, "b has vanished")
    assert y.state is VgpuState.ACTIVE
    with pytest.raises(ApiError, match="b is absent"):
        host.start("x")
    assert host.stop("x", force=False).state is VgpuState.DEFINED
    with pytest.raises(ApiError, match="x is not active"):
        host.stop("x", force=False)


def test_modify_tells_what_changed(host: Host) -> None:
    create(host, "x")
    host.stop("x", force=False)
    listener = host.bus.listen([EventKind.MODIFIED])
    host.modify(ModifyParams(vgpu="x", gpu="b", type="mine", weight=7))
    (event,) = listener.take(0)
    assert (event.gpu, event.data) == ("b", {"type": "mine", "weight": 7})


def test_an_own_weight_beats_the_types(host: Host, paths: Paths) -> None:
    create(host, "x", "mine")
    assert host.find("x").weight == 3
    host.modify(ModifyParams(vgpu="x", weight=7))
    active = host.find("x").active
    assert active is not None
    assert active.vgpu is not None
    assert active.vgpu.weight == host.find("x").weight == 7


def test_where_the_socket_is_going_to_be(host: Host, tmp_path: Path) -> None:
    """A domain's definition has its path, also while the vGPU is not active."""
    inactive = host.define(DefineParams(name="web", type="V9_4"))
    assert (inactive.socket, Path(inactive.place).name) == ("", "web.sock")
    assert Path(inactive.guard).parent == Path(inactive.place).parent
    active = host.start("web")
    assert active.socket == active.place == inactive.place
    moved = str(tmp_path / "moved")
    host.reload(msgspec.structs.replace(CONFIG, sockets=SocketsConfig(directory=moved)))
    assert host.find("web").info().place == active.socket
    host.stop("web", force=False)
    assert host.find("web").info().place == f"{moved}/web.sock"
    assert host.modify(ModifyParams(vgpu="web", name="w2")).place == f"{moved}/w2.sock"
    assert host.start("w2").socket == f"{moved}/w2.sock"


def test_a_reloaded_type_has_its_new_weight(host: Host) -> None:
    host.define(DefineParams(name="x", type="mine"))
    host.reload(Config(gpus=CONFIG.gpus, types={"mine": TypeConfig(kind="private", weight=9)}))
    assert host.find("x").weight == 9
    assert host.start("x").weight == 9


def test_a_start_that_fails_leaves_nothing(host: Host, paths: Paths) -> None:
    host.reload(Config(sockets=SocketsConfig(owner="nobody-of-that-name")))
    for _ in range(3):
        with pytest.raises(ApiError, match="nobody-of-that-name") as error:
            create(host, "x")
        assert error.value.code is ErrorCode.FAILED
    assert host.infos() == []
    (gpu,) = host.gpu_infos()
    assert all(pool.left == pool.total for pool in gpu.resources if pool.name != "DMA space")
    assert list(paths.active.iterdir()) == list(paths.definitions.iterdir()) == []


def test_a_restart_that_fails_is_tried_again(host: Host, paths: Paths) -> None:
    host.create(DefineParams(name="x", type="V9_4"), transient=True)
    host.shut_down()
    blocked = Host(Config(sockets=SocketsConfig(owner="nobody-of-that-name")), paths, EventBus())
    blocked.restore()
    assert blocked.find("x").state is VgpuState.ERROR
    blocked.shut_down()
    again = Host(CONFIG, paths, EventBus())
    again.restore()
    assert again.find("x").state is VgpuState.ACTIVE
    again.shut_down()


def test_stats_of_an_idle_vgpu(host: Host) -> None:
    assert [gpu.active for gpu in host_stats(host).gpus] == [False, False]
    create(host, "x")
    host.define(DefineParams(name="y", type="V9_4"))
    found = host_stats(host)
    assert [gpu.active for gpu in found.gpus] == [True, False]
    (x,) = found.vgpus
    assert (x.name, x.gpu, x.type, x.attached, x.mediated) == ("x", "a", "V9_4", False, True)
    assert x.engines.keys() == {"rcs0", "bcs0", "vcs0", "vecs0"}
    for engine in x.engines.values():
        assert (engine.submitted, engine.wait.count, engine.oldest_age_seconds) == (0, 0, 0)
    assert host_stats(host, host.find("y")).vgpus == []
    assert not host.has_work


def test_slices_are_told_only_of_who_had_any(host: Host) -> None:
    seconds = iter(range(100))
    slices = SliceEvents(host, host.bus, lambda: float(next(seconds)))
    create(host, "x")
    slices.tick()
    listener = host.bus.listen([EventKind.SLICES])
    slices.tick()
    active = host.find("x").active
    assert active is not None
    assert active.vgpu is not None
    active.vgpu.counters.gpu_ns += 250_000_000
    slices.tick()
    slices.tick()
    (event,) = listener.take(0)
    assert (event.vgpu, event.gpu) == ("x", "a")
    assert event.data["share"] == event.data["gpu_seconds"] == 0.25
    assert event.data["requests"] == 0
    host.stop("x", force=False)
    host.start("x")
    slices.tick()
    slices.tick()
    assert listener.take(0) == []  # its counters began anew


def definition(**fields: object) -> Definition:
    return Definition(**{"uuid": new_uuid(), "name": "n", "type": "V9_4", **fields})  # type: ignore[arg-type]


def test_the_choice_of_a_gpu() -> None:
    gpus = {name: HostedGpu(GpuConfig(name=name, types=("V9_4",))) for name in ("a", "b")}
    kind = TYPES["V9_4"]
    assert choose(gpus, definition(gpu="b"), kind).name == "b"
    gpus["a"].present = False
    assert choose(gpus, definition(), kind).name == "b"
    gpus["a"].present = True
    gpus["a"].failure = "no memory"
    gpus["b"].capacity.take("x", kind)
    assert choose(gpus, definition(), kind).name == "b"  # though there is more room on the other
    gpus["b"].present = False
    assert choose(gpus, definition(), kind).name == "a"  # which is tried again
    gpus["a"].present, gpus["b"].present = False, True
    with pytest.raises(ApiError, match="gpu: there is no 'c' any more: a, b"):
        choose(gpus, definition(gpu="c"), kind)
    with pytest.raises(ApiError, match="there is no GPU"):
        choose({}, definition(), kind)
    with pytest.raises(ApiError, match=r"a is absent.*; b takes no vGPU of type private"):
        choose(gpus, definition(type="private"), TYPES["private"])


def test_gpus_by_a_new_configuration() -> None:
    gpus = {name: HostedGpu(GpuConfig(name=name)) for name in ("kept", "used", "changed", "gone")}
    gpus["used"].owner = "x"
    gpus["used"].holders["x"] = None  # type: ignore[assignment]
    new = [GpuConfig(name="new", pci="0000:00:02.0"), GpuConfig(name="kept")]
    found = reconfigured(gpus, [*new, GpuConfig(name="changed", policy="fifo")])
    assert [*found.gpus] == ["new", "kept", "changed", "used"]
    assert found.gpus["kept"] is gpus["kept"]
    assert found.gpus["used"] is gpus["used"]
    assert not found.gpus["new"].present
    assert found.gpus["changed"] is not gpus["changed"]
    assert {gpu.name for gpu in found.dropped} == {"changed", "gone"}
    assert found.problems == ["used is in use and cannot be removed: stop its vGPUs first"]
