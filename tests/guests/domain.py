"""A stock guest as a libvirt domain: its XML, and the way to its agent.

with DomainGuest(images, libvirtd, "web") as guest:    # defined, not started
    guest.start()
"""

import re
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

from tests.guests import boot
from tests.guests.boot import BOOT_SECONDS, POWER_OFF_SECONDS, Guest, GuestFailure
from tests.guests.images import Images
from tests.guests.libvirtd import Libvirtd

_CONNECT_SECONDS = 20.0
_PID = re.compile(r"<domstatus [^>]*pid='(\d+)'")
# As `boot.command_line` has it, in libvirt's words; it does not know the newest name.
_TCG_CPU = """\
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='allow'>Skylake-Client</model>
    <feature policy='disable' name='hypervisor'/>
    <feature policy='disable' name='pcid'/>
    <feature policy='disable' name='tsc-deadline'/>
    <feature policy='disable' name='invpcid'/>
    <feature policy='disable' name='spec-ctrl'/>
    <feature policy='disable' name='xsavec'/>
    <feature policy='disable' name='xsaves'/>
    <feature policy='disable' name='hle'/>
    <feature policy='disable' name='rtm'/>
  </cpu>"""


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What of a domain's XML tests vary."""

    name: str
    memory: int = 2048
    """MiB."""
    cpus: int = 2
    machine: str = "q35"


def domain_xml(images: Images, facts: DomainFacts, emulator: Path, scratch: Path) -> str:
    """The XML of a domain that boots the guest; its console and its agent are in ``scratch``."""
    kvm = images.accelerator == "kvm"
    arguments = escape(boot.KERNEL_ARGUMENTS)
    return f"""\
<domain type='{"kvm" if kvm else "qemu"}'>
  <name>{escape(facts.name)}</name>
  <uuid>{uuid.uuid4()}</uuid>
  <memory unit='MiB'>{facts.memory}</memory>
  <vcpu>{facts.cpus}</vcpu>
  <os>
    <type arch='x86_64' machine='{facts.machine}'>hvm</type>
    <kernel>{images.kernel.image}</kernel>
    <initrd>{images.kernel.initramfs}</initrd>
    <cmdline>{arguments}</cmdline>
  </os>
  <features><acpi/><apic/></features>
{"  <cpu mode='host-passthrough'/>" if kvm else _TCG_CPU}
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='unsafe'/>
      <source file='{images.root_image}'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{escape(str(scratch / "console"))}'/></serial>
    <channel type='unix'>
      <source mode='bind' path='{escape(str(scratch / "agent"))}'/>
      <target type='virtio' name='agent'/>
    </channel>
    <memballoon model='none'/>
    <video><model type='none'/></video>
  </devices>
</domain>
"""


class DomainGuest(Guest):
    """A domain with a guest's agent in it; undefined when the block is left."""

    def __init__(self, images: Images, libvirtd: Libvirtd, facts: DomainFacts) -> None:
        super().__init__(images)
        self._libvirtd = libvirtd
        self.facts = facts
        self.name = facts.name

    def __enter__(self) -> Self:
        scratch = self.console_path.parent
        xml = scratch / "domain.xml"
        xml.write_text(domain_xml(self.images, self.facts, self._libvirtd.emulator, scratch))
        self._libvirtd.virsh("define", str(xml))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._libvirtd.virsh("undefine", self.name, check=False)

    def start(self, timeout: float = BOOT_SECONDS) -> None:
        """`virsh start`, and wait for the agent. Raises LibvirtdError, GuestFailure."""
        started = time.monotonic()
        self._libvirtd.virsh("start", self.name)
        self.connect()
        line = self._line(started + timeout)
        if not line.startswith("ready "):
            raise GuestFailure(f"the guest's agent said {line!r} instead of 'ready'")
        self.boot_seconds = time.monotonic() - started

    def connect(self) -> None:
        """To the agent's channel."""
        self._received.clear()
        self._agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._agent.settimeout(_CONNECT_SECONDS)
        self._agent.connect(str(self.console_path.parent / "agent"))
        self._agent.settimeout(None)

    def power_off(self, timeout: float = POWER_OFF_SECONDS) -> None:
        """Power the guest off in order, and wait for libvirt to see it."""
        assert self._agent is not None
        self._agent.sendall(boot.POWER_OFF_REQUEST)
        self.wait_for_state("shut off", timeout)
        self._agent.close()
        self._agent = None

    def wait_for_state(self, state: str, timeout: float) -> float:
        """Seconds until `virsh domstate` says so. Raises GuestFailure."""
        started = time.monotonic()
        while (now := self.state()) != state:
            if time.monotonic() - started > timeout:
                raise GuestFailure(f"domain {self.name} is {now!r}, not {state!r}")
            time.sleep(0.05)
        return time.monotonic() - started

    def state(self) -> str:
        """What libvirt says of it."""
        return self._libvirtd.virsh("domstate", self.name, check=False)

    def kill(self) -> None:
        """End it at once."""
        self._libvirtd.virsh("destroy", self.name, check=False)  # it may not run
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def _failure(self, what: str) -> GuestFailure:
        said = self._libvirtd.domain_log(self.name)[-2000:]
        return GuestFailure(f"{what}\n{said}\nend of the console:\n{self.console()[-3000:]}")

    @property
    def pid(self) -> int:
        """The process of its QEMU."""
        status = self._libvirtd.directory / "run/libvirt/qemu" / f"{self.name}.xml"
        match = _PID.search(status.read_text())
        if match is None:
            raise GuestFailure(f"domain {self.name} does not run")
        return int(match[1])
