"""A vgpud gives back what was claimed for a domain whose QEMU never comes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.integration.control_rig import NO_METRICS, prepared, wait_until
from vgpu_ctl.api.objects import VgpuState

DOMAIN = "11111111-2222-4333-8444-555555555555"
_SOON = """\
import sys
import vgpu_ctl.host.claim
from vgpu_ctl.vgpud import main
vgpu_ctl.host.claim.LAPSE_S = 1.0
vgpu_ctl.host.claim.ABANDON_S = 2.0
del sys.argv[0]
main()
"""
"""vgpud, whose claims lapse after one second and end after two, instead of minutes."""


@pytest.mark.modes
def test_a_claim_lapses_by_itself(tmp_path: Path) -> None:
    """What it had started is stopped, and nobody has to ask."""
    with prepared(tmp_path, NO_METRICS) as rig:
        rig.prefix = (sys.executable, "-c", _SOON)
        rig.start()
        with rig.client() as client:
            for name in ("started", "active"):
                client.define(name=name, type="V9_4")
            client.start("active")
            for name in ("started", "active"):
                assert client.claim(name, "ghost", DOMAIN).domain == "ghost"
            rig.wait_said("active released by domain ghost")
            wait_until(lambda: client.show("started").state is VgpuState.DEFINED, "stopped")
            assert client.show("active").domain == ""
            assert client.show("active").state is VgpuState.ACTIVE
            client.destroy("active")
