"""`doctor`, on machines that are made up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.objects import GpuInfo
from vgpu_ctl.cli import daemon_checks, host_checks, qemu_checks
from vgpu_ctl.cli.doctor import CHECKS, examine
from vgpu_ctl.cli.finding import Outcome, Status
from vgpu_ctl.cli.subject import Subject

GOOD_QEMU = """#!/bin/sh
case "$1" in
--version) echo "QEMU emulator version 11.1.3 (Debian)";;
*) echo 'name "vfio-user-pci", bus PCI, desc "VFIO over socket"';;
esac
"""


def program(path: Path, text: str) -> Path:
    """An executable script."""
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A machine with a good QEMU and no vgpud."""
    program(tmp_path / "qemu-system-x86_64", GOOD_QEMU)
    return Subject(socket=tmp_path / "s", search_path=str(tmp_path), kvm=tmp_path / "kvm")


def said(outcome: Outcome, status: Status, text: str) -> bool:
    """It has the status and names what it should, and advice unless all is well."""
    assert bool(outcome.advice) == (status in (Status.WARN, Status.FAIL))
    return outcome.status is status and text in outcome.detail


def test_a_good_qemu(subject: Subject) -> None:
    assert said(qemu_checks.qemu_is_found(subject), Status.OK, "qemu-system-x86_64")
    assert said(qemu_checks.qemu_is_new_enough(subject), Status.OK, "version 11.1.3")
    assert said(qemu_checks.qemu_has_the_device(subject), Status.OK, "vfio-user-pci")


@pytest.mark.parametrize(("version", "status"), [("10.0.13", Status.FAIL), ("10.1", Status.OK)])
def test_versions(version: str, status: Status, subject: Subject, tmp_path: Path) -> None:
    program(tmp_path / "qemu-system-x86_64", GOOD_QEMU.replace("11.1.3", version))
    assert said(qemu_checks.qemu_is_new_enough(subject), status, version)


def test_a_broken_qemu(subject: Subject, tmp_path: Path) -> None:
    program(tmp_path / "qemu-system-x86_64", "#!/bin/sh\necho no library >&2; exit 127\n")
    assert said(qemu_checks.qemu_is_new_enough(subject), Status.FAIL, "no library")
    assert said(qemu_checks.qemu_has_the_device(subject), Status.FAIL, "no vfio-user-pci")


def test_no_qemu(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "qemu-system-x86_64").unlink()
    assert said(qemu_checks.qemu_is_found(subject), Status.FAIL, "not found")
    assert qemu_checks.qemu_is_new_enough(subject).status is Status.SKIP
    assert qemu_checks.qemu_has_the_device(subject).status is Status.SKIP


def test_kvm(subject: Subject, tmp_path: Path) -> None:
    assert said(qemu_checks.kvm_is_usable(subject), Status.WARN, "there is no")
    (tmp_path / "kvm").write_bytes(b"")
    assert said(qemu_checks.kvm_is_usable(subject), Status.WARN, "ioctl")


def test_libvirt(subject: Subject, tmp_path: Path) -> None:
    assert said(qemu_checks.libvirt_is_known(subject), Status.OK, "not installed")
    program(tmp_path / "libvirtd", "#!/bin/sh\necho libvirtd '(libvirt)' 9.0.0\n")
    assert said(qemu_checks.libvirt_is_known(subject), Status.OK, "libvirt 9.0.0: it has no")


def test_memory_and_files(subject: Subject) -> None:
    assert host_checks.memory_can_be_shared(subject).status is Status.OK
    assert "open files here" in host_checks.enough_files_may_be_open(subject).detail


def test_no_vgpud(subject: Subject) -> None:
    assert said(daemon_checks.control_socket_is_safe(subject), Status.FAIL, "there is no")
    assert said(daemon_checks.daemon_answers(subject), Status.FAIL, "no vgpud")
    for check in (
        daemon_checks.routines_are_native,
        daemon_checks.kernels_are_compiled,
        daemon_checks.gpus_are_ready,
        daemon_checks.metrics_answer,
    ):
        assert check(subject).status is Status.SKIP


def test_the_socket(subject: Subject, vgpud: FakeVgpud) -> None:
    vgpud.path.chmod(0o660)
    assert said(daemon_checks.control_socket_is_safe(subject), Status.OK, "srw-rw----")
    vgpud.path.chmod(0o666)
    assert said(daemon_checks.control_socket_is_safe(subject), Status.FAIL, "everybody")
    vgpud.stop()
    vgpud.path.unlink()
    vgpud.path.write_text("")
    assert said(daemon_checks.control_socket_is_safe(subject), Status.FAIL, "no socket")


def test_vgpud(subject: Subject, vgpud: FakeVgpud) -> None:
    assert said(daemon_checks.daemon_answers(subject), Status.OK, "vgpud 9.9")
    assert daemon_checks.routines_are_native(subject).status is Status.OK
    assert said(daemon_checks.kernels_are_compiled(subject), Status.OK, "compiled")


def test_slow_routines(subject: Subject, vgpud: FakeVgpud) -> None:
    vgpud.daemon = msgspec.structs.replace(vgpud.daemon, native_hotpath=False)
    assert said(daemon_checks.routines_are_native(subject), Status.WARN, "slow")


def test_interpreted_kernels(subject: Subject, vgpud: FakeVgpud) -> None:
    vgpud.daemon = msgspec.structs.replace(vgpud.daemon, kernels_interpreted="no llvmlite")
    assert said(daemon_checks.kernels_are_compiled(subject), Status.WARN, "no llvmlite")


def gpu(name: str, state: str, detail: str = "") -> GpuInfo:
    return msgspec.structs.replace(samples.GPU, name=name, state=state, detail=detail)


@pytest.mark.parametrize(
    ("gpus", "status", "detail"),
    [
        ([gpu("gpu0", "ready")], Status.OK, "gpu0 (simulated)"),
        ([gpu("gpu0", "ready"), gpu("old", "unsupported")], Status.OK, "gpu0"),
        ([gpu("gpu0", "ready"), gpu("gpu1", "failed", "hot")], Status.WARN, "gpu1 failed: hot"),
        ([gpu("gpu1", "absent")], Status.FAIL, "gpu1 absent"),
        ([], Status.FAIL, "there is none"),
    ],
)
def test_gpus(
    gpus: list[GpuInfo], status: Status, detail: str, subject: Subject, vgpud: FakeVgpud
) -> None:
    vgpud.gpus = gpus
    assert said(daemon_checks.gpus_are_ready(subject), status, detail)


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """One metric at /metrics."""
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"vgpud_build_info 1\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def exporter() -> Iterator[str]:
    """Where metrics are served."""
    with HTTPServer(("127.0.0.1", 0), _Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def test_metrics(subject: Subject, vgpud: FakeVgpud, exporter: str) -> None:
    vgpud.daemon = samples.daemon(vgpud.path, f"{exporter}/metrics")
    answers = (daemon_checks.metrics_answer(subject) for _ in range(3))  # each within seconds
    assert any(said(answer, Status.OK, exporter) for answer in answers)


@pytest.mark.parametrize("path", ["/other"])
def test_something_else_answers(
    path: str, subject: Subject, vgpud: FakeVgpud, exporter: str
) -> None:
    vgpud.daemon = samples.daemon(vgpud.path, exporter + path)
    assert said(daemon_checks.metrics_answer(subject), Status.FAIL, "404")


def test_metrics_that_are_not_there(subject: Subject, vgpud: FakeVgpud) -> None:
    assert said(daemon_checks.metrics_answer(subject), Status.WARN, "not served")


def test_a_port_that_is_closed(subject: Subject, vgpud: FakeVgpud) -> None:
    vgpud.daemon = samples.daemon(vgpud.path, "http://localhost:1/metrics")
    assert said(daemon_checks.metrics_answer(subject), Status.FAIL, "refused")


def test_all_of_them(subject: Subject, vgpud: FakeVgpud) -> None:
    found = examine(subject)
    assert [finding.name for finding in found] == list(CHECKS)
    assert not [finding for finding in found if finding.status is Status.FAIL]


def test_the_verb(vgpud: FakeVgpud, vgpuctl: Vgpuctl, tmp_path: Path) -> None:
    good = str(program(tmp_path / "qemu", GOOD_QEMU))
    status, out, _ = vgpuctl("doctor", "--qemu", good)
    assert status == 0
    assert "ok    qemu-version    version 11.1.3\n" in out
    status, out, _ = vgpuctl("doctor", "--qemu", str(tmp_path / "no"), "-o", "json")
    assert status == 1
    assert json.loads(out)[0]["status"] == "fail"
    assert vgpuctl("doctor", "--qemu", good, "-o", "csv").out.startswith(
        "name,status,detail,advice"
    )
