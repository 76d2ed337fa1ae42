"""Is a libvirt domain fit for its vGPUs? For `vgpuctl doctor --domain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from qemu_hooks import domain_checks
from qemu_hooks.cli.domain_options import explained
from qemu_hooks.commandline import options
from qemu_hooks.domain_facts import GUARD_NODE
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.domain_reading import device_of, named_vgpus, other_devices, vfio_devices
from qemu_hooks.domain_xml import parsed
from qemu_hooks.hook_script import FOLDER, NAME, is_ours
from qemu_hooks.libvirt_connection import Connection, connected
from vgpu_ctl.api.objects import VgpuInfo
from vgpu_ctl.cli.finding import Finding, Outcome, fail, ok, skip, warn
from vgpu_ctl.cli.qemu_checks import qemu_has_the_device
from vgpu_ctl.cli.subject import Subject
from vgpu_ctl.client import ApiError, DaemonUnreachable

HOOKS = Path("/etc/libvirt/hooks")


class DomainSubject(NamedTuple):
    """One domain, as it is started next time, or as it runs if it is transient."""

    name: str
    root: Any
    saved: bool
    """A managed save waits for its next start."""
    vgpus: list[VgpuInfo] | None
    """Those of vgpud; None: no vgpud answers."""
    hooks: Path
    host: Subject


def examine(domain: str, uri: str, host: Subject, hooks: Path = HOOKS) -> list[Finding]:
    """All checks. Raises Failure where there is no such libvirt or domain."""
    with explained(), connected(uri) as libvirt:
        subject = _subject(libvirt, domain, host, hooks)
    return [
        Finding(name=name, **msgspec.structs.asdict(check(subject)))
        for name, check in _CHECKS.items()
    ]


def _subject(libvirt: Connection, domain: str, host: Subject, hooks: Path) -> DomainSubject:
    found = libvirt.domain(domain)
    with libvirt.errors():
        transient = not found.isPersistent()
    xml = libvirt.live_xml(found) if transient else libvirt.persistent_xml(found)
    try:
        with host.connect() as vgpud:
            vgpus = vgpud.vgpus()
    except (ApiError, DaemonUnreachable):
        vgpus = None
    saved = libvirt.has_managed_save(found)
    return DomainSubject(found.name(), parsed(xml), saved, vgpus, hooks, host)


def can_have_one(subject: DomainSubject) -> Outcome:
    """A PC that QEMU runs, whose memory can be shared."""
    try:
        domain_checks.refuse(subject.root)
    except DomainProblem as problem:
        return fail(problem.message, problem.hint or "use another domain")
    return ok("a PC whose memory can be shared")


def names_its_vgpus(subject: DomainSubject) -> Outcome:
    """And vgpud knows them, at the same sockets."""
    there = vfio_devices(subject.root)
    known = {vgpu.uuid: vgpu for vgpu in subject.vgpus or []}
    named = [
        vgpu._replace(socket=known[vgpu.uuid].place) if vgpu.uuid in known else vgpu
        for vgpu in named_vgpus(subject.root)
    ]
    by_hand = [device.socket or "one without a socket" for device in other_devices(there, named)]
    if not named and not by_hand:
        return skip("it has none")
    if by_hand:
        text = f"devices by hand, which no metadata names: {', '.join(by_hand)}"
        return warn(text, f"`vgpuctl attach {subject.name} NAME` takes that of a vGPU as it is")
    if subject.vgpus is None:
        return warn(", ".join(vgpu.name for vgpu in named) + ": no vgpud to ask", "start vgpud")
    for vgpu in named:
        attach = f"`vgpuctl attach {subject.name} {vgpu.name}`"
        if vgpu.uuid not in known:
            return fail(f"{vgpu.name} is no more", f"create it, then {attach}; or detach it")
        device = device_of(there, vgpu.name, vgpu.socket)
        if device is None:
            return fail(f"{vgpu.name} is in the metadata, and has no device", attach)
        if device.socket != vgpu.socket:
            text = f"{vgpu.name} is served at {vgpu.socket}, not at {device.socket}"
            return fail(text, attach)
    return ok(", ".join(vgpu.name for vgpu in named))


def shares_memory(subject: DomainSubject) -> Outcome:
    """All RAM in shared memfds."""
    why = domain_checks.unshared(subject.root)
    if not why:
        return ok("shared memfds")
    advice = f"`vgpuctl prepare {subject.name}`, then power it off and start it"
    return fail(why, advice) if named_vgpus(subject.root) else warn(why, advice)


def has_no_surprises(subject: DomainSubject) -> Outcome:
    """ACPI, NVDIMMs, memory of others."""
    found = domain_checks.warnings(subject.root, 0)
    return warn("; ".join(found), "see docs/libvirt.md") if found else ok("nothing unusual")


def is_not_saved_or_moved(subject: DomainSubject) -> Outcome:
    """The state of a GPU is in no saved state."""
    if subject.saved:
        return fail(
            "its next start restores a managed save, in which is no state of a GPU",
            f"`virsh managedsave-remove {subject.name}`",
        )
    if not named_vgpus(subject.root) and not vfio_devices(subject.root):
        return skip("it has no vGPU")
    nodes = [option.object.get("node-name") for option in options(subject.root)]
    if GUARD_NODE not in nodes:
        return warn(
            "nothing keeps it from being saved or migrated: the GPU's state would be lost without "
            "a word",
            f"`vgpuctl attach {subject.name} NAME` again puts a guard there; until then do not use "
            "save, managedsave, migrate, or snapshots of memory",
        )
    return ok("QEMU refuses save, managedsave, migrate and snapshots of memory")


def hook_is_installed(subject: DomainSubject) -> Outcome:
    """Without it vGPUs must be started by hand, and a second domain finds the socket taken."""
    path = subject.hooks / FOLDER / NAME
    try:
        ours = is_ours(path.read_text(errors="replace"))
    except OSError as error:
        return warn(f"{path}: {error.strerror}", "`vgpuctl install-hooks`")
    return ok(str(path)) if ours else warn(f"{path} is not ours", "move it away")


def emulator_is_fit(subject: DomainSubject) -> Outcome:
    """The domain's own QEMU, on this machine."""
    program = (subject.root.findtext("devices/emulator") or "").strip()
    if not program:
        return skip("libvirt chooses the emulator")
    outcome = qemu_has_the_device(Subject(socket=subject.host.socket, qemu=program))
    return msgspec.structs.replace(outcome, detail=f"{program}: {outcome.detail}")


_CHECKS: Mapping[str, Callable[[DomainSubject], Outcome]] = {
    "machine": can_have_one,
    "emulator": emulator_is_fit,
    "vgpus": names_its_vgpus,
    "memory": shares_memory,
    "unusual": has_no_surprises,
    "saving": is_not_saved_or_moved,
    "hook": hook_is_installed,
}
