"""The life of a vGPU over the control API: created, started, changed; and what is refused."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.control_rig import (
    METRICS,
    ControlRig,
    running,
    stats_of,
    wait_until,
)
from tests.integration.vgpu_rig import connect
from vgpu_ctl.api.objects import EventKind, VgpuState
from vgpu_ctl.client import ApiError, Client, ErrorCode

TWO_GPUS = """
[metrics]
listen = []
[limits]
vgpus = 40
[[gpu]]
name = "left"
types = ["V9_1", "V9_2", "passthrough"]
[[gpu]]
name = "right"
policy = "fifo"
[types.half]
kind = "ballooned"
low_mib = 128
high_mib = 896
weight = 7
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRig]:
    with running(tmp_path_factory.mktemp("shared"), TWO_GPUS) as rig:
        yield rig


@pytest.fixture
def client(shared: ControlRig) -> Iterator[Client]:
    with shared.client() as made:
        yield made
        for each in made.vgpus():
            made.destroy(each.name, force=True)


def refused(error: pytest.ExceptionInfo[ApiError]) -> tuple[ErrorCode, str]:
    return error.value.code, error.value.field


def test_from_create_to_destroy(shared: ControlRig, client: Client) -> None:
    made = client.create(name="web", type="V9_2", weight=200, cap=0.5)
    assert made.state is VgpuState.ACTIVE
    assert (made.gpu, made.weight, made.cap, made.persistent) == ("right", 200, 0.5, True) or (
        made.gpu == "left"
    )
    assert Path(made.socket) == shared.runtime / "vgpus" / "web.sock"
    assert stat.S_IMODE(Path(made.socket).stat().st_mode) == 0o600
    assert client.show(made.uuid.upper()) == client.show("web") == made
    assert shared.files() == {
        f"state/vgpus/{made.uuid}.json",
        f"run/active/{made.uuid}.json",
        "run/vgpus/web.sock",
    }
    stopped = client.stop("web")
    assert (stopped.state, stopped.socket) == (VgpuState.DEFINED, "")
    assert shared.files() == {f"state/vgpus/{made.uuid}.json"}
    assert client.modify("web", gpu="right", name="shop", autostart=True).name == "shop"
    assert client.start("shop").gpu == "right"
    client.undefine("shop")
    assert not client.show("shop").persistent
    assert shared.files() == {f"run/active/{made.uuid}.json", "run/vgpus/shop.sock"}
    client.stop("shop")
    assert client.vgpus() == []
    assert shared.files() == set()


def test_events_tell_it(shared: ControlRig, client: Client) -> None:
    with shared.client() as listener:
        events, kinds = listener.events(), list[EventKind]()

        def hear(last: EventKind) -> None:
            """Until then; who has seen that a client has left may be faster than who tells."""
            while last not in kinds:
                event = next(events)
                assert event.vgpu == "a"
                assert event.gpu in ("left", "right")
                if event.data.get("by") != "guest":
                    kinds.append(event.kind)
                else:
                    assert event.data["what"] != "function"  # the driver resets its engines

        client.create(name="a", type="V9_2", gpu="right")
        guest = connect(str(shared.runtime / "vgpus" / "a.sock"))
        hear(EventKind.ATTACHED)
        guest.close()
        hear(EventKind.DETACHED)
        assert client.show("a").client is None
        client.reset("a", "function")
        client.modify("a", cap=0.5)
        client.stop("a")
        client.modify("a", gpu="left")
        client.destroy("a")
        hear(EventKind.UNDEFINED)
    order = "CREATED ATTACHED DETACHED RESET MODIFIED STOPPED MODIFIED UNDEFINED"
    assert [kind.name for kind in kinds if kind is not EventKind.DEFINED] == order.split()


def test_a_vgpu_goes_to_the_gpu_with_room(client: Client) -> None:
    gpus = [client.create(name=f"n{n}", type="V9_2").gpu for n in range(4)]
    assert sorted(gpus) == ["left", "left", "right", "right"]
    with pytest.raises(ApiError) as error:
        client.create(name="n4", type="V9_2")
    assert refused(error) == (ErrorCode.NO_CAPACITY, "type")
    text = str(error.value)
    assert text.startswith("no GPU has room for a vGPU of type V9_2: ")
    for name, first, second in (("left", *_on(client, "left")), ("right", *_on(client, "right"))):
        assert (
            f"{name}: a vGPU of type V9_2 needs 128 MiB of mappable GGTT (aperture), 0 MiB of "
            f"256 MiB are left: {first} has 128 MiB, {second} has 128 MiB"
        ) in text
    assert [each.name for each in client.vgpus()] == ["n0", "n1", "n2", "n3"]
    with pytest.raises(ApiError, match="0 MiB of 256 MiB are left"):
        client.create(name="n4", type="V9_8", gpu="right")


def _on(client: Client, gpu: str) -> list[str]:
    (found,) = (each for each in client.gpus() if each.name == gpu)
    return sorted(found.vgpus, key=lambda name: int(name[1:]))


def test_types_of_all_kinds(client: Client) -> None:
    types = {each.name: each for each in client.types()}
    assert types["half"].weight == 7
    assert types["half"].available == {"left": 0, "right": 2}
    assert types["passthrough"].available == {"left": 1, "right": 1}
    assert client.create(name="h", type="half").gpu == "right"
    assert client.create(name="p", type="private").gpu == "right"
    with pytest.raises(ApiError, match="left takes no vGPU of type private") as error:
        client.create(name="q", type="private", gpu="left")
    assert error.value.code is ErrorCode.UNSUPPORTED
    owner = client.create(name="own", type="passthrough")
    assert owner.gpu == "left"
    with pytest.raises(ApiError, match=r"own has all of left \(passthrough\)") as error:
        client.create(name="other", type="V9_1", gpu="left")
    assert error.value.code is ErrorCode.NO_CAPACITY
    with pytest.raises(ApiError, match="passthrough needs all of right, which h, p share"):
        client.create(name="other", type="passthrough", gpu="right")
    guest = connect(owner.socket)
    guest.driver.wait(guest.driver.run(guest.driver.create_context("rcs0")))
    found = stats_of(client, "own")
    assert not found.mediated
    assert found.traps["register"].writes > 0
    guest.close()


@pytest.mark.parametrize(
    ("params", "code", "field"),
    [
        ({"name": "../x"}, ErrorCode.INVALID, "name"),
        ({"name": "a/b"}, ErrorCode.INVALID, "name"),
        ({"name": ""}, ErrorCode.INVALID, "name"),
        ({"name": ".."}, ErrorCode.INVALID, "name"),
        ({"name": "a\n"}, ErrorCode.INVALID, "name"),
        ({"name": "x" * 65}, ErrorCode.INVALID, "name"),
        ({"name": "123e4567-e89b-42d3-a456-426614174000"}, ErrorCode.INVALID, "name"),
        ({"uuid": "../../etc"}, ErrorCode.INVALID, "uuid"),
        ({"uuid": "{123e4567-e89b-42d3-a456-426614174000}"}, ErrorCode.INVALID, "uuid"),
        ({"type": "V9_3"}, ErrorCode.INVALID, "type"),
        ({"gpu": "gpu9"}, ErrorCode.INVALID, "gpu"),
        ({"weight": 0}, ErrorCode.INVALID, "weight"),
        ({"weight": 1025}, ErrorCode.INVALID, "weight"),
        ({"weight": 1 << 70}, ErrorCode.INVALID, "weight"),
        ({"cap": 0.0}, ErrorCode.INVALID, "cap"),
        ({"cap": 1.5}, ErrorCode.INVALID, "cap"),
        ({"type": "passthrough", "weight": 3}, ErrorCode.UNSUPPORTED, "weight"),
        ({"type": "passthrough", "cap": 0.5}, ErrorCode.UNSUPPORTED, "cap"),
        ({"name": "there"}, ErrorCode.EXISTS, "name"),
        ({"uuid": "123E4567-E89B-42D3-A456-426614174000"}, ErrorCode.EXISTS, "uuid"),
    ],
)
def test_what_is_refused_changes_nothing(
    shared: ControlRig,
    client: Client,
    params: dict[str, object],
    code: ErrorCode,
    field: str,
) -> None:
    there = client.define(name="there", type="V9_8", uuid="123e4567-e89b-42d3-a456-426614174000")
    files = shared.files()
    for call in (client.define, client.create):
        with pytest.raises(ApiError) as error:
            call(**{"name": "new", "type": "V9_8", **params})
        assert refused(error) == (code, field)
        assert field in str(error.value)
    assert client.vgpus() == [there]
    assert shared.files() == files


def test_what_cannot_be_in_this_state(client: Client) -> None:
    client.create(name="a", type="V9_8", gpu="right", transient=True)
    guest = connect(client.show("a").socket)
    wait_until(lambda: client.show("a").client, "a client")
    for call, text in (
        (lambda: client.start("a"), "active already"),
        (lambda: client.stop("a"), r"a has a client: \w+ \d+"),
        (lambda: client.destroy("a"), r"a has a client: \w+ \d+"),
        (lambda: client.undefine("a"), "a is transient"),
        (lambda: client.modify("a", name="b"), "name of a cannot change"),
        (lambda: client.modify("a", type="V9_1"), "type of a cannot change"),
        (lambda: client.modify("a", gpu="left"), "gpu of a cannot change"),
    ):
        with pytest.raises(ApiError, match=text) as error:
            call()
        assert error.value.code is ErrorCode.BUSY
    assert (
        client.modify("a", weight=9).weight == 9
    )  # as `create` takes one; fifo asks nobody for it
    with pytest.raises(ApiError, match="level: 'all' is not allowed: engines or function"):
        client.reset("a", "all")
    assert client.stop("a", force=True).state is VgpuState.DEFINED
    guest.close()
    with pytest.raises(ApiError, match="there is no vGPU 'a'"):
        client.show("a")
    client.define(name="b", type="V9_8")
    for name in ("stop", "reset"):
        with pytest.raises(ApiError, match="b is not active"):
            getattr(client, name)("b")


def test_limits(shared: ControlRig, client: Client) -> None:
    for number in range(40):
        client.define(name=f"d{number}", type="V9_8")
    with pytest.raises(ApiError, match="there are 40 vGPUs, as many as") as error:
        client.create(name="more", type="V9_8")
    assert error.value.code is ErrorCode.NO_CAPACITY
    assert len(shared.files()) == 40


def test_changes_from_many_clients_at_once(shared: ControlRig, client: Client) -> None:
    """Names are unique, nothing is left over, and who only looks is never in the way."""
    made: list[str] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def look() -> None:
        with shared.client() as mine:
            while not done.is_set():
                mine.stats()
                mine.gpus()
                mine.types()
                mine.vgpus()

    def change() -> None:
        with shared.client() as mine:
            for number in range(6):
                try:
                    mine.create(name=f"c{number}", type="V9_2" if number % 2 else "passthrough")
                    made.append(f"c{number}")
                    mine.destroy(f"c{number}")
                except ApiError as error:
                    if error.code not in (ErrorCode.EXISTS, ErrorCode.NO_CAPACITY):
                        failures.append(error)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    changers = [threading.Thread(target=change) for _ in range(4)]
    for thread in (*lookers, *changers):
        thread.start()
    for thread in changers:
        thread.join()
    done.set()
    for thread in lookers:
        thread.join()
    assert failures == []
    assert made
    assert client.vgpus() == []
    assert shared.files() == set()
    assert all(pool.left == pool.total for gpu in client.gpus() for pool in gpu.resources[:3])


def test_metrics_are_where_it_says(tmp_path: Path) -> None:
    with running(tmp_path, METRICS) as rig, rig.client() as client:
        told = client.version()
        assert told.pid == rig.pid
        assert told.socket == str(rig.socket)
        assert told.config == str(rig.config)
        assert told.metrics.startswith("http://127.0.0.1:")
