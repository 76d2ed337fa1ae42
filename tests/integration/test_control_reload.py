"""A configuration that changes under `vgpud run`, and what its operator sees of it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.integration.control_rig import NO_METRICS, ControlRig, prepared, running, wait_until
from tests.integration.other_user import as_user, needs_root, passable
from tests.integration.socket_activation import giving_control
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.objects import EventKind

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
TINY = '[types.tiny]\nkind = "private"\nweight = 2\n'


def test_a_type_in_use_stays(tmp_path: Path) -> None:
    with running(tmp_path, NO_METRICS + TINY) as rig, rig.client() as client:
        client.create(name="t", type="tiny")
        client.define(name="idle", type="tiny")
        rig.config.write_text(NO_METRICS)
        client.reload()
        rig.wait_said("type tiny is in use and cannot be removed: stop t first")
        assert client.modify("t", weight=50).weight == 50
        client.stop("t")
        client.reload()
        assert "tiny" not in {kind.name for kind in client.types()}
        assert client.modify("idle", autostart=True).autostart  # what is wrong with it waits
        with pytest.raises(ApiError, match="there is no 'tiny' any more"):
            client.start("idle")
        with pytest.raises(ApiError, match="type: there is no 'tiny'"):
            client.modify("idle", type="tiny")
        assert client.modify("idle", type="V9_8").type == "V9_8"


def test_sockets_that_would_be_elsewhere_keep_no_weight_from_changing(tmp_path: Path) -> None:
    with running(tmp_path) as rig, rig.client() as client:
        client.create(name="web", type="V9_4")
        rig.config.write_text(f'{NO_METRICS}[sockets]\ndirectory = "/tmp/{"d" * 100}"\n')
        client.reload()
        assert client.modify("web", weight=51).weight == 51
        with pytest.raises(ApiError, match=r"its socket /tmp/d+/new\.sock has"):
            client.define(name="new", type="V9_4")


def test_a_configuration_that_comes_later_is_remembered(tmp_path: Path) -> None:
    class Unnamed(ControlRig):
        def command(self) -> list[str]:
            words = super().command()
            at = words.index("--config")
            return words[:at] + words[at + 2 :]

    rig = Unnamed(tmp_path, {"CONFIGURATION_DIRECTORY": str(tmp_path)})
    try:
        rig.start()
        with rig.client() as client:
            assert client.version().config == ""
            rig.config.write_text(NO_METRICS)
            client.reload()
            assert client.version().config == str(rig.config)
            rig.config.unlink()
            with pytest.raises(ApiError, match="is not there any more"):
                client.reload()
    finally:
        rig.kill()


def test_an_unknown_group_is_told_where_it_stands(tmp_path: Path) -> None:
    with running(tmp_path) as rig, rig.client() as client:
        rig.config.write_text(f'{NO_METRICS}\n[control]\ngroup = "nosuchgrp"\n')
        with pytest.raises(ApiError, match=r'vgpud\.toml:5: control\.group: group "nosuchgrp"'):
            client.reload()
        assert rig.process is not None
        rig.process.send_signal(signal.SIGHUP)
        rig.wait_said("the configuration stays as it is")


def test_sockets_go_into_no_directory_that_is_everybodys(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    config = f'{NO_METRICS}[sockets]\ndirectory = "{theirs}"\n'
    with running(tmp_path, config) as rig, rig.client() as client:
        for path in (theirs, theirs / "below"):
            rig.config.write_text(f'{NO_METRICS}[sockets]\ndirectory = "{path}"\n')
            client.reload()
            with pytest.raises(ApiError, match="theirs can be written by everybody: chmod") as told:
                client.create(name="web", type="V9_4")
            assert told.value.code is ErrorCode.FAILED
            assert client.vgpus() == []
        os.chmod(theirs, 0o1777)  # noqa: PTH101 - nobody can replace what is another's there
        client.create(name="web", type="V9_4")


def test_the_end_of_an_error_is_an_event(tmp_path: Path) -> None:
    """Its GPU is bound to a PCI device that is not there any more."""
    with running(tmp_path, NO_METRICS + TINY) as rig:
        with rig.client() as client:
            client.create(name="t", type="tiny")
        rig.kill()
        rig.config.write_text(NO_METRICS)
        rig.start()
        with rig.client() as client, rig.client() as other:
            (vgpu,) = client.vgpus()
            assert vgpu.state.value == "error"
            events = other.events(kinds=[EventKind.STOPPED])
            client.stop("t")
            told = next(events)
            assert (told.kind, told.vgpu) == (EventKind.STOPPED, "t")
            wait_until(lambda: client.show("t").state.value == "defined", "it has ended")


@needs_root
def test_the_group_of_a_socket_that_it_was_given() -> None:
    """systemd's, elsewhere than its own would be: whom it lets in, vgpud does."""
    with (
        passable() as root,
        prepared(root) as rig,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        given = root / "given.sock"
        listener.bind(str(given))
        os.chown(given, 0, 1234)
        given.chmod(0o660)
        listener.listen()
        rig.prefix = giving_control(listener)
        rig.start(pass_fds=(listener.fileno(),))
        member = ("--reuid=1234", "--regid=1234", "--clear-groups")
        assert as_user(*member, socket_path=given) == "[]"
        given.chmod(0o666)
        stranger = ("--reuid=1235", "--regid=1235", "--clear-groups")
        assert "user 1235 may not use this vgpud" in as_user(*stranger, socket_path=given)
