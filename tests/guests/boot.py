"""Start a guest in QEMU, run commands in it, collect what its kernel said, power it off.

The guest's agent (`scripts/agent.sh`) takes one command at a time over a virtio console port. QEMU
gets its end of a socket pair, so no path is shared, and it dies with the process that started it.
"""

import base64
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guests.images import Images
from tests.guests.kernel_log import given_up
from tests.guests.lifetime import die_with_parent

# QEMU holds its big lock while the device's server answers; a late reply ends the connection.
MESSAGE_TIMEOUT_MS = 30_000
BOOT_SECONDS = 240.0
POWER_OFF_SECONDS = 120.0
# Boots faster under TCG than `max`, and is the kind of CPU that a Gen9 GPU sits beside.
# The features taken away are those that TCG lacks and would warn of.
# Without the hypervisor bit i915 copies from the aperture 16 bytes at a time, not single bytes
# (i915_memcpy_init_early): error capture, and with it each GPU reset, is eight times faster.
_TCG_CPU = "Skylake-Client-v4,-hypervisor,-pcid,-tsc-deadline,-invpcid,-spec-ctrl,-xsavec,-xsaves"
_FIRST_GPU_SLOT = 2
GPU_ADDRESS = f"0000:00:{_FIRST_GPU_SLOT:02x}.0"
# Clear of the GPUs' slots.
_DISK_SLOT, _AGENT_SLOT = 0x10, 0x11
KERNEL_ARGUMENTS = (
    # loglevel=5 shows warnings on the console, so that those of the way down are seen too.
    "console=ttyS0 loglevel=5 panic=-1 mitigations=off no_timer_check tsc=reliable audit=0 "
    "random.trust_cpu=on log_buf_len=4M"
)
# What the agent powers the guest off at.
POWER_OFF_REQUEST = b"0 60 " + base64.b64encode(b"busybox poweroff -f") + b"\n"
# The agent's own time-out ends a command first; this much later the guest counts as stuck.
_AGENT_MARGIN_SECONDS = 20.0


class GuestFailure(Exception):
    """The guest did not boot, answer or power off in time, or QEMU ended."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command in the guest came to; status 137: it was killed at its time-out."""

    status: int
    output: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Machine:
    """The virtual machine around the GPU. Memory in MiB; the host gives it page by page.

    More than 4 GiB by default: IGT's aperture-sized tests ask for it, and addresses beyond 32 bits
    occur. 0: `arguments` bring it, shared, and the GPU too.
    """

    memory: int = 5120
    cpus: int = 2
    kernel_arguments: str = ""
    arguments: tuple[str, ...] = ()


def device_argument(path: Path, number: int = 0) -> str:
    """The value of QEMU's `-device` for the guest's GPU `number`, served on the socket `path`."""
    return json.dumps(
        {
            "driver": "vfio-user-pci",
            "id": f"vgpu{number}",
            "bus": "pcie.0",
            "addr": f"{_FIRST_GPU_SLOT + number:02x}.0",
            "socket": {"type": "unix", "path": str(path)},
            "x-msg-timeout": MESSAGE_TIMEOUT_MS,
        }
    )


def command_line(
    images: Images, machine: Machine, gpus: Sequence[Path], console: Path, agent_fd: int
) -> list[str]:
    """QEMU's argument list."""
    kvm = images.accelerator == "kvm"
    arguments = [
        *images.qemu.command,
        *("-accel", "kvm" if kvm else "tcg,thread=multi,tb-size=256"),
        *("-cpu", "host" if kvm else _TCG_CPU),
        *("-machine", "q35,vmport=off", "-smp", str(machine.cpus)),
        *_memory(machine.memory),
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none", "-vga", "none"),
        *("-serial", f"file:{console}"),
        *("-kernel", str(images.kernel.image), "-initrd", str(images.kernel.initramfs)),
        *("-append", f"{KERNEL_ARGUMENTS} {machine.kernel_arguments}".strip()),
        "-drive",
        f"file={images.root_image},format=raw,if=none,id=root,read-only=on,cache=unsafe",
        *("-device", f"virtio-blk-pci,drive=root,addr={_DISK_SLOT:#x}"),
        *("-device", f"virtio-serial-pci,addr={_AGENT_SLOT:#x}"),
        *("-chardev", f"socket,id=agent,fd={agent_fd}"),
        *("-device", "virtserialport,chardev=agent,nr=1,name=agent"),
        *machine.arguments,
    ]
    for number, gpu in enumerate(gpus):
        arguments += ["-device", device_argument(gpu, number)]
    return arguments


def _memory(megabytes: int) -> list[str]:
    if not megabytes:
        return []
    return [
        *("-machine", "memory-backend=ram", "-m", f"{megabytes}M"),
        *("-object", f"memory-backend-memfd,id=ram,size={megabytes}M,share=on"),
    ]


@dataclass
class Guest:
    """A running guest; use as a context manager: QEMU has ended when the block is left.

    Start it from a thread that outlives it (QEMU dies with the thread that started it).
    """

    images: Images
    gpus: Sequence[Path] = ()
    machine: Machine = field(default_factory=Machine)
    boot_seconds: float = 0.0
    gpu_address: str = GPU_ADDRESS
    """Where in the guest the first GPU is."""

    def __post_init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="vgpud-guest-")
        self.console_path = Path(self._scratch.name, "console")
        self._errors = Path(self._scratch.name, "qemu-errors")
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: socket.socket | None = None
        self._received = bytearray()
        self._request = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self, timeout: float = BOOT_SECONDS) -> None:
        """Start QEMU and wait for the agent; raises GuestFailure after `timeout` seconds."""
        started = time.monotonic()
        ours, theirs = socket.socketpair()
        self._agent = ours
        with theirs, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command_line(
                    self.images, self.machine, self.gpus, self.console_path, theirs.fileno()
                ),
                env=self.images.qemu.variables(),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            line = self._line(started + timeout)
        except GuestFailure:
            self.kill()
            raise
        if not line.startswith("ready "):
            raise GuestFailure(f"the guest's agent said {line!r} instead of 'ready'")
        self.boot_seconds = time.monotonic() - started

    def run(self, command: str, timeout: float = 60.0) -> Result:
        """Run a shell command in the guest for at most `timeout` seconds."""
        if self._agent is None:
            raise GuestFailure("the guest is not running")
        self._request += 1
        started = time.monotonic()
        encoded = base64.b64encode(command.encode()).decode()
        with self._broken_channel():
            self._agent.sendall(f"{self._request} {timeout:.0f} {encoded}\n".encode())
        deadline = started + timeout + _AGENT_MARGIN_SECONDS
        head = self._line(deadline).split()
        if len(head) != 3 or head[0] != str(self._request):
            raise GuestFailure(f"the guest's agent answered {head!r} to request {self._request}")
        output = self._take(int(head[2]), deadline).decode(errors="replace")
        return Result(int(head[1]), output, time.monotonic() - started)

    def check(self, command: str, timeout: float = 60.0) -> str:
        """The output of a command that must succeed; raises GuestFailure if it does not."""
        result = self.run(command, timeout)
        if result.status != 0:
            raise GuestFailure(f"{command!r} ended with {result.status}:\n{result.output[-4000:]}")
        return result.output

    def load_i915(self, options: str = "", timeout: float = 120.0) -> float:
        """Load i915 with module `options` and return the seconds it took.

        Raises GuestFailure if i915 does not drive the first GPU afterwards, or has given it up:
        modprobe itself is content with a probe that failed.
        """
        bound = f"test -e /sys/bus/pci/drivers/i915/{self.gpu_address}"
        result = self.run(f"modprobe i915 {options} && {bound}", timeout)
        if result.status != 0:
            raise GuestFailure(
                f"i915 does not drive the GPU: {result.output}{self.dmesg()[-4000:]}"
            )
        if given_up(log := self.dmesg()):
            raise GuestFailure(f"i915 gave the GPU up, as it does if that is slow: {log[-4000:]}")
        return result.seconds

    def dmesg(self) -> str:
        """The guest kernel's log since boot, each line with facility and level (`dmesg -x`)."""
        return self.check("dmesg -x")

    def console(self) -> str:
        """What the guest printed on its serial console so far; complete after `power_off`."""
        if not self.console_path.is_file():
            return ""
        return self.console_path.read_text(errors="replace")

    def power_off(self, timeout: float = POWER_OFF_SECONDS) -> None:
        """Power the guest off in order; raises GuestFailure if QEMU has not ended in `timeout`."""
        if self._agent is None or self._process is None:
            raise GuestFailure("the guest is not running")
        with self._broken_channel():
            self._agent.sendall(POWER_OFF_REQUEST)
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._failure(f"the guest did not power off within {timeout:.0f} s") from None
        if status != 0:
            raise self._failure(f"QEMU ended with status {status}")

    def kill(self) -> None:
        """End QEMU at once if it runs; the console's text stays readable through `console`."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    @property
    def pid(self) -> int:
        """The process id of QEMU."""
        if self._process is None:
            raise GuestFailure("the guest is not running")
        return self._process.pid

    def _line(self, deadline: float) -> str:
        while b"\n" not in self._received:
            self._receive(deadline)
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received[:] = rest
        return line.decode(errors="replace").strip()

    def _take(self, count: int, deadline: float) -> bytes:
        while len(self._received) < count:
            self._receive(deadline)
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _receive(self, deadline: float) -> None:
        assert self._agent is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._agent, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise self._failure("the guest did not answer in time")
        with self._broken_channel():
            data = self._agent.recv(1 << 16)
        if not data:
            raise self._failure("QEMU ended")
        self._received += data

    @contextlib.contextmanager
    def _broken_channel(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failure(f"the channel to the guest broke ({error})") from error

    def _failure(self, what: str) -> GuestFailure:
        errors = self._errors.read_text(errors="replace").strip()
        said = f"\nQEMU said:\n{errors[-2000:]}" if errors else ""
        return GuestFailure(f"{what}{said}\nend of the guest's console:\n{self.console()[-3000:]}")
