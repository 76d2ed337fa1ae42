"""A vGPU is kept for one domain, and is free when that has gone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.methods import DefineParams
from vgpu_ctl.api.objects import EventKind, VgpuState
from vgpu_ctl.config import Config, GpuConfig
from vgpu_ctl.host.claim import ABANDON_S, LAPSE_S
from vgpu_ctl.host.event_bus import EventBus
from vgpu_ctl.host.host import Host
from vgpu_ctl.paths import Paths

ONE, TWO = (f"11111111-2222-4333-8444-{number:012}" for number in (1, 2))
_CLIENT = """\
import socket, sys
made = socket.socket(socket.AF_UNIX)
made.connect(sys.argv[1])
print("connected", flush=True)
sys.stdin.read()
"""


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(
        Config(gpus=(GpuConfig(name="a"),)), Paths(*(tmp_path / x for x in "crs")), EventBus()
    )
    made.restore()
    made.claims._clock = Time()
    made.define(DefineParams(name="web", type="V9_4"))
    yield made
    made.shut_down()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def qemu(host: Host, domain: str) -> Iterator[None]:
    """A client whose command line is like that of a domain's QEMU."""
    socket = host.find("web").info().socket
    command = [sys.executable, "-c", _CLIENT, socket, "-name", f"guest={domain},debug-threads=on"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: host.find("web").info().client)
        yield
        process.kill()
    until(lambda: host.find("web").info().client is None)
    until(lambda: host.find("web").info().domain == "")


def refused(host: Host, domain: str, uuid: str) -> str:
    with pytest.raises(ApiError) as caught:
        host.claims.claim("web", domain, uuid)
    assert caught.value.code is ErrorCode.BUSY
    return caught.value.message


def test_it_is_started_kept_and_stopped(host: Host) -> None:
    listener = host.bus.listen([EventKind.CLAIMED, EventKind.RELEASED])
    claimed = host.claims.claim("web", "one", ONE)
    assert (claimed.state, claimed.domain) == (VgpuState.ACTIVE, "one")
    assert Path(claimed.guard).parent == Path(claimed.socket).parent
    assert host.claims.claim("web", "one", ONE.upper()).domain == "one"
    assert refused(host, "two", TWO) == "web is taken: domain 'one' has claimed it"
    with pytest.raises(ApiError, match="domain 'one' has claimed it"):
        host.claims.release("web", TWO)
    released = host.claims.release("web", ONE)
    assert (released.state, released.domain) == (VgpuState.DEFINED, "")
    assert host.claims.release("web", ONE) == released
    assert [event.data["domain"] for event in listener.take(0)] == ["one", "one", "one"]


def test_a_domain_cannot_steer_a_terminal(host: Host) -> None:
    claimed = host.claims.claim("web", "a\x1b[31mRED", ONE)
    assert claimed.domain == r"a\x1b[31mRED"
    assert host.claims.claim("web", "a\x1b[31mRED", ONE).domain == claimed.domain


def test_what_was_active_stays_so(host: Host) -> None:
    host.start("web")
    host.claims.claim("web", "one", ONE)
    assert host.claims.release("web", "").state is VgpuState.ACTIVE


def test_a_claimed_one_is_not_stopped(host: Host) -> None:
    host.claims.claim("web", "one", ONE)
    with pytest.raises(ApiError, match="claimed by domain 'one', which is about to start"):
        host.stop("web", force=False)
    assert host.stop("web", force=True).domain == ""


def test_the_end_of_its_qemu_frees_it(host: Host) -> None:
    host.claims.claim("web", "one", ONE)
    with qemu(host, "one"):
        assert host.find("web").info().domain == "one"
        assert refused(host, "two", TWO) == "web is taken: domain 'one' has claimed it"
        host.claims.claim("web", "one", ONE)
    assert host.find("web").info().domain == ""
    assert host.claims.claim("web", "two", TWO).domain == "two"
    assert host.claims.release("web", TWO).state is VgpuState.DEFINED


def test_release_after_its_qemu(host: Host) -> None:
    """The hook comes when QEMU has gone: what the claim had started is stopped."""
    host.claims.claim("web", "one", ONE)
    with qemu(host, "one"):
        assert host.claims.release("web", ONE).state is VgpuState.ACTIVE
        host.claims.claim("web", "one", ONE)
    host.claims.release("web", ONE)


def test_a_program_without_a_claim_has_it(host: Host) -> None:
    host.start("web")
    with qemu(host, "byhand"):
        assert "domain 'byhand' uses it" in refused(host, "one", ONE)
        assert host.claims.claim("web", "byhand", TWO).domain == "byhand"


def test_nobody_comes(host: Host) -> None:
    """The claim of a libvirtd that was killed meanwhile lapses."""
    clock = host.claims._clock
    assert isinstance(clock, Time)
    host.claims.claim("web", "one", ONE)
    clock.now += LAPSE_S - 1
    refused(host, "two", TWO)
    clock.now += 2
    assert host.claims.claim("web", "two", TWO).domain == "two"


def test_a_claim_that_has_lapsed_holds_nothing(host: Host) -> None:
    host.claims._clock.now += 5  # type: ignore[attr-defined]
    host.claims.claim("web", "one", ONE)
    host.claims._clock.now += LAPSE_S + 1  # type: ignore[attr-defined]
    assert host.find("web").info().domain == ""
    assert host.stop("web", force=False).state is VgpuState.DEFINED


@pytest.mark.parametrize("started", [False, True])
def test_what_nobody_came_for_is_given_back(started: bool, host: Host) -> None:
    """As `release` does; whoever claimed it has died. Not while its QEMU is there."""
    if started:
        host.start("web")
    host.claims.claim("web", "one", ONE)
    listener = host.bus.listen([EventKind.RELEASED])
    host.claims.end_abandoned()
    assert host.find("web").info().domain == "one"
    with qemu(host, "one"):
        host.claims._clock.now += ABANDON_S + 1  # type: ignore[attr-defined]
        host.claims.end_abandoned()
        assert host.find("web").info().domain == "one"
    host.claims.claim("web", "one", ONE)
    host.claims._clock.now += LAPSE_S + 1  # type: ignore[attr-defined]
    host.claims.end_abandoned()
    assert host.find("web").state is VgpuState.ACTIVE  # for a QEMU that takes its time
    host.claims._clock.now += ABANDON_S - LAPSE_S  # type: ignore[attr-defined]
    host.claims.end_abandoned()
    assert host.find("web").state is (VgpuState.ACTIVE if started else VgpuState.DEFINED)
    host.claims.end_abandoned()
    assert [event.data["domain"] for event in listener.take(0)] == ["one"]


def test_the_release_of_another_does_not_wait(host: Host) -> None:
    """A refused domain's hook: the claim's owner is compared before its QEMU may leave."""
    clock = host.claims._clock
    assert isinstance(clock, Time)
    host.claims.claim("web", "one", ONE)
    with qemu(host, "one"):
        before = clock.now
        with pytest.raises(ApiError, match="domain 'one' has claimed it"):
            host.claims.release("web", TWO)
        assert clock.now - before < 0.5


@pytest.mark.parametrize(
    ("domain", "uuid", "field"),
    [("", ONE, "domain"), ("x" * 1025, ONE, "domain"), ("x", "", "domain_uuid")],
)
def test_nonsense(host: Host, domain: str, uuid: str, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        host.claims.claim("web", domain, uuid)
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID, field)
    assert host.find("web").state is VgpuState.DEFINED


def test_no_room(host: Host) -> None:
    for number in range(4):
        host.create(DefineParams(name=f"x{number}", type="V9_4"), transient=True)
    with pytest.raises(ApiError) as caught:
        host.claims.claim("web", "one", ONE)
    assert caught.value.code is ErrorCode.NO_CAPACITY
