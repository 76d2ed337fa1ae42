"""The steps that make a host match a file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeHost
from vgpu_ctl.api.methods import METHODS
from vgpu_ctl.api.objects import ClientInfo, VgpuInfo, VgpuState
from vgpu_ctl.cli.declaration import WantedVgpu, declared
from vgpu_ctl.cli.plan import Step, differences, plan

CLIENT = ClientInfo(pid=4711, uid=0, command="qemu", since=0.0)


def wanted(name: str = "web", **fields: object) -> WantedVgpu:
    return WantedVgpu(name=name, **{"type": "V9_4", **fields})  # type: ignore[arg-type]


def told(current: list[VgpuInfo], *files: WantedVgpu, keep: bool = False) -> list[str]:
    """The steps in words."""
    return [str(step) for step in plan(current, files, keep=keep)]


def told_after(before: VgpuInfo, want: WantedVgpu) -> list[str]:
    """The steps that are left once a host has gone through all of them."""
    host = host_with([before])
    carry_out(host, plan([before], [want], keep=False))
    return told(list(host.vgpus.values()), want)


def test_nothing_to_do() -> None:
    web = samples.vgpu("web", active=True)
    assert told([web], wanted()) == []
    assert told([web], wanted(weight=4, cap=1.0, autostart=False, gpu="gpu0")) == []
    assert differences([web], [wanted()], keep=False) == []


def test_new_ones() -> None:
    steps = plan([], [wanted(weight=7), wanted("db", active=False, uuid="u")], keep=False)
    assert [str(step) for step in steps] == [
        "define db: type V9_4",
        "create web: type V9_4, weight 7",
    ]
    assert [step.params for step in steps] == [
        {"name": "db", "type": "V9_4", "uuid": "u"},
        {"name": "web", "type": "V9_4", "weight": 7},
    ]


def test_live_changes() -> None:
    web = samples.vgpu("web", active=True, client=CLIENT)
    (step,) = plan([web], [wanted(weight=9, cap=0.5, autostart=True)], keep=False)
    assert str(step) == "modify web: weight 4 -> 9, cap 1 -> 0.5, autostart off -> on"
    assert step.client is None


def test_what_needs_a_stop() -> None:
    web = samples.vgpu("web", active=True, client=CLIENT)
    steps = plan([web], [wanted(type="V9_1", weight=9)], keep=False)
    assert [step.action for step in steps] == ["stop", "modify", "start"]
    assert steps[0].client == CLIENT
    assert [step.action for step in plan([web], [wanted(gpu="gpu1")], keep=False)] == [
        "stop",
        "modify",
        "start",
    ]
    assert told([samples.vgpu("web")], wanted(type="V9_1", active=False)) == [
        "modify web: type V9_4 -> V9_1"
    ]


def test_a_weight_outlives_a_change_of_type() -> None:
    (step,) = plan([samples.vgpu("web")], [wanted(type="V9_1", weight=4, active=False)], keep=False)
    assert step.params == {"type": "V9_1", "weight": 4}


def test_state() -> None:
    assert told([samples.vgpu("web", active=True)], wanted(active=False)) == [
        "stop web: the file wants it defined only"
    ]
    assert told([samples.vgpu("web")], wanted()) == ["start web"]
    broken = samples.vgpu("web", state=VgpuState.ERROR)
    assert told([broken], wanted()) == ["start web"]
    assert [step.action for step in plan([broken], [wanted(active=False)], keep=False)] == ["stop"]
    for active in (True, False):  # whatever is wanted of it, it is not so
        (found,) = differences([broken], [wanted(active=active)], keep=False)
        assert (found.field, found.now) == ("state", "error")
    assert [step.action for step in plan([broken], [wanted(gpu="gpu1")], keep=False)] == [
        "stop",
        "modify",
        "start",
    ]


def test_what_is_not_in_the_file() -> None:
    old = samples.vgpu("old", active=True, client=CLIENT)
    (step,) = plan([old], [], keep=False)
    assert step == Step(
        action="destroy",
        name="old",
        vgpu=old.uuid,
        reason="it is not in the file",
        client=CLIENT,
    )
    assert told([old], keep=True) == []


def test_a_transient_one_is_gone_when_it_stops() -> None:
    web = samples.vgpu("web", active=True, persistent=False, weight=33, own_weight=33)
    assert told([web], wanted()) == []
    steps = plan([web], [wanted(gpu="gpu1")], keep=False)
    assert [step.action for step in steps] == ["destroy", "create"]
    assert steps[1].params["weight"] == 33
    assert steps[1].params["uuid"] == web.uuid
    (_, again) = plan(
        [samples.vgpu("web", active=True, persistent=False)], [wanted(type="V9_1")], keep=False
    )
    assert "weight" not in again.params  # that of the new type


def test_one_with_a_gpu_of_its_own_is_made_again_without_a_weight() -> None:
    alone = samples.vgpu("web", active=True, persistent=False, type="passthrough", weight=16)
    (_, again) = plan([alone], [wanted(type="passthrough", active=False)], keep=False)
    assert "weight" not in again.params


def test_any_gpu_is_the_one_where_it_is() -> None:
    free = samples.vgpu("web", active=True)
    assert told([free], wanted(gpu="")) == []
    assert differences([free], [wanted(gpu="")], keep=False) == []
    bound = samples.vgpu("web", active=True, wanted_gpu="gpu0")
    assert told([bound], wanted(gpu="")) == [
        "stop web: gpu gpu0 -> none",
        "modify web: gpu gpu0 -> none",
        "start web",
    ]
    assert told_after(bound, wanted(gpu="")) == []


def test_a_gpu_is_kept_by_one_that_is_stopped_on_it() -> None:
    free = samples.vgpu("web", active=True)
    assert told([free], wanted(gpu="gpu0", active=False)) == [
        "stop web: the file wants it defined only",
        "modify web: gpu gpu0",
    ]
    assert told_after(free, wanted(gpu="gpu0", active=False)) == []


def test_by_uuid() -> None:
    web, db = samples.vgpu("web", 1), samples.vgpu("db", 2)
    assert told([web], wanted("www", uuid=web.uuid, active=False)) == [
        "modify www: name web -> www"
    ]
    steps = plan([web], [wanted(uuid=db.uuid, active=False)], keep=False)
    assert [step.action for step in steps] == ["destroy", "define"]
    # a name changes hands
    files = [wanted("db", uuid=web.uuid, active=False), wanted("web", active=False)]
    assert [step.action for step in plan([web, db], files, keep=False)] == [
        "destroy",
        "modify",
        "define",
    ]


def test_room_is_made_before_it_is_taken() -> None:
    current = [samples.vgpu("a", 1, active=True), samples.vgpu("b", 2, active=True)]
    steps = plan(current, [wanted("b", type="V9_1"), wanted("c")], keep=False)
    assert [(step.action, step.name) for step in steps] == [
        ("destroy", "a"),
        ("stop", "b"),
        ("modify", "b"),
        ("create", "c"),
        ("start", "b"),
    ]


def test_differences_in_words() -> None:
    current = [samples.vgpu("web", 1, active=True), samples.vgpu("old", 2)]
    files = [wanted(weight=9, autostart=True, active=False), wanted("new")]
    assert [str(difference) for difference in differences(current, files, keep=False)] == [
        "web: weight is 4, not 9",
        "web: autostart is off, not on",
        "web: state is active, not defined",
        "new: not there",
        "old: not in the file",
    ]


NAMES = st.sampled_from(["a", "b", "c", "d"])
HOSTS = st.lists(
    st.builds(
        lambda name, number, active, kept, weight: samples.vgpu(
            name,
            number,
            active=active,
            persistent=kept or not active,
            weight=weight,
            own_weight=weight,
        ),
        NAMES,
        st.integers(1, 4),
        st.booleans(),
        st.booleans(),
        st.integers(1, 3),
    ),
    unique_by=(lambda vgpu: vgpu.name, lambda vgpu: vgpu.uuid),
)
FILES = st.lists(
    st.builds(
        WantedVgpu,
        name=NAMES,
        type=st.sampled_from(["V9_4", "V9_4b"]),
        gpu=st.sampled_from([None, "gpu0", "gpu1"]),
        weight=st.sampled_from([None, 1, 2]),
        autostart=st.sampled_from([None, True, False]),
        active=st.booleans(),
    ),
    unique_by=lambda want: want.name,
)


def carry_out(host: FakeHost, steps: list[Step]) -> None:
    """As `apply` does, without a socket."""
    for step in steps:
        params = step.params if step.action in ("create", "define") else {"vgpu": step.vgpu}
        params = params | (step.params if step.action == "modify" else {})
        host.answer(step.action, METHODS[step.action].params(**params))


def host_with(vgpus: list[VgpuInfo]) -> FakeHost:
    host = FakeHost()
    host.types = [samples.TYPES[0], samples.type_named("V9_4b")]
    for vgpu in vgpus:
        host.add(vgpu)
    return host


@given(HOSTS, FILES)
def test_after_its_plan_a_host_has_no_differences(
    vgpus: list[VgpuInfo], files: list[WantedVgpu]
) -> None:
    host = host_with(vgpus)
    carry_out(host, plan(vgpus, files, keep=False))
    now = list(host.vgpus.values())
    assert differences(now, files, keep=False) == []
    assert plan(now, files, keep=False) == []
    assert sorted(vgpu.name for vgpu in now) == sorted(want.name for want in files)


@given(HOSTS)
def test_what_is_exported_is_so(vgpus: list[VgpuInfo]) -> None:
    assert plan(vgpus, declared(vgpus, samples.TYPES).vgpus, keep=False) == []


@given(HOSTS)
def test_what_is_exported_can_be_made_again(vgpus: list[VgpuInfo]) -> None:
    """On a host without any, and is then what it was."""
    wanted_again = declared(vgpus, samples.TYPES).vgpus
    host = host_with([])
    carry_out(host, plan([], wanted_again, keep=False))
    assert differences(vgpus, wanted_again, keep=False) == []
    assert differences(list(host.vgpus.values()), wanted_again, keep=False) == []
