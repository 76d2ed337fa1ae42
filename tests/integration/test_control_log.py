"""What `vgpud run` logs of who changes what, and what no flood may hide."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.control_rig import running
from vgpu_ctl.api.messages import ApiError
from vgpu_ctl.log_limit import BURST


def test_changes_are_logged_with_their_outcome(tmp_path: Path) -> None:
    me = f"by user {os.geteuid()}, process {os.getpid()}"
    with running(tmp_path) as rig, rig.client() as client:
        web = client.define(name="web", type="V9_4")
        client.modify(web.uuid, weight=7)
        with pytest.raises(ApiError):
            client.modify("web", weight=5000)
        with pytest.raises(ApiError):
            client.start("ghost\n")
        client.destroy("web")
        lines = [line for line in rig.said().splitlines() if me in line]
    assert len(lines) == 5
    defined, modified, refused, ghost, destroyed = lines
    assert f'event="define web {me}"' in defined
    assert "vgpu=web request=define outcome=done" in defined
    assert f'event="modify web {me}"' in modified  # it was named by its UUID
    assert f"modify web {me} is refused: weight: 5000" in refused
    assert "outcome=invalid" in refused
    assert "start ghost" in ghost
    assert "outcome=not-found" in ghost
    assert f'event="destroy web {me}"' in destroyed


def test_no_flood_hides_a_change(tmp_path: Path) -> None:
    with running(tmp_path) as rig, rig.client() as client:
        client.create(name="web", type="V9_4")
        for _ in range(BURST + 60):
            with pytest.raises(ApiError):
                client.start("web")
        client.destroy("web")
        said = rig.said()
    assert said.count("start web by user") == BURST + 60
    assert "destroy web by user" in said
