"""A real libvirtd for tests: the private copy, in a mount namespace with directories of its own.

    with Libvirtd(find_libvirt(cache_root()), images, directory) as libvirtd:
        libvirtd.virsh("list", "--all")

/etc/libvirt, /run, /var/lib/libvirt and the like are directories below ``directory`` for it and
its QEMUs; nothing of the machine is changed, and a libvirt of the machine is not in the way. It
needs root: for the mounts, and since libvirtd gives its QEMUs groups.
"""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guests.libvirt_copy import LibvirtCopy
from tests.guests.lifetime import die_with_parent
from tests.guests.qemu import Qemu
from tests.guests.setup_error import SetupError

_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0
_VIRSH_SECONDS = 120.0
_LONGEST_SOCKET = 107
_STATE = ("lib", "cache", "log")

_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
_LIBVIRTD_CONF = """\
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_rw_perms = "0700"
log_outputs = "3:stderr"
"""
_UNSHARE = ("unshare", "--mount")
_ACCOUNTS = {
    "passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin",
    "group": "libvirt-qemu:x:64055:",
}
# Read-only overlays put directories in place that the machine may lack; what is written goes to
# directories that are bound over those. `own` and `share` are the arguments.
_ENTER = """\
set -e
own=$1; share=$2; shift 2
mount --make-rprivate /
mount -t overlay -o "lowerdir=$own/places/etc:/etc" overlay /etc
mount -t overlay -o "lowerdir=$share:/usr/share" overlay /usr/share
for name in lib cache log; do
    mount -t overlay -o "lowerdir=$own/places/$name:/var/$name" overlay "/var/$name"
    mount --bind "$own/$name" "/var/$name/libvirt"
done
mount --bind "$own/etc" /etc/libvirt
mount --bind "$own/run" /run
exec "$@"
"""


class LibvirtdError(Exception):
    """libvirtd or virsh did not do what it was to do; the text is their own."""


class Libvirtd:
    """A context manager; libvirtd answers when it is entered, and may be restarted meanwhile."""

    def __init__(self, copy: LibvirtCopy, qemu: Qemu, directory: Path) -> None:
        """``directory`` is short: it holds sockets. Raises SetupError for one that is not."""
        self._copy = copy
        self.directory = directory
        self.socket = directory / "run/libvirt/libvirt-sock"
        if len(str(self.socket)) > _LONGEST_SOCKET:
            raise SetupError(f"{self.socket} is too long for a socket")
        self.etc = directory / "etc"
        self.emulator = directory / "qemu"
        self._log = directory / "libvirtd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out(qemu)

    @property
    def uri(self) -> str:
        """Where clients find it."""
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers. Raises LibvirtdError."""
        self.socket.unlink(missing_ok=True)
        command = [
            *_UNSHARE,
            *("sh", "-c", _ENTER, "sh", str(self.directory), str(self._copy.shared_files)),
            *self._copy.daemon,
            *("-f", str(self.directory / "libvirtd.conf")),
            *("--pid-file", str(self.directory / "libvirtd.pid")),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "LIBVIRT_DRIVER_DIR": str(self.directory / "drivers")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            self._wait_until_ready()
        except LibvirtdError:
            self.stop()
            raise

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; domains go on."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def virsh(self, *arguments: str, check: bool = True) -> str:
        """What virsh prints, both outputs. Raises LibvirtdError when it fails and ``check``."""
        done = subprocess.run(
            [*self._copy.virsh, "-c", self.uri, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_VIRSH_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise LibvirtdError(f"virsh {shlex.join(arguments)}: {done.stdout.strip()}")
        return done.stdout.strip()

    def domain_log(self, name: str) -> str:
        """What QEMU said, and its command line."""
        path = self.directory / "log/qemu" / f"{name}.log"
        return path.read_text(errors="replace") if path.is_file() else ""

    def _lay_out(self, qemu: Qemu) -> None:
        own = self.directory
        for name in ("etc/hooks", "run/libvirt", *_STATE):
            (own / name).mkdir(parents=True, exist_ok=True)
        for name in ("etc", *_STATE):
            (own / "places" / name / "libvirt").mkdir(parents=True, exist_ok=True)
        for name, line in _ACCOUNTS.items():  # libvirtd looks for them, and uses them for nothing
            there = Path("/etc", name).read_text()
            (own / "places/etc" / name).write_text(f"{there.rstrip()}\n{line}\n")
        (own / "drivers").mkdir(exist_ok=True)
        driver = "libvirt_driver_qemu.so"
        (own / "drivers" / driver).unlink(missing_ok=True)
        (own / "drivers" / driver).symlink_to(self._copy.drivers / driver)
        (self.etc / "qemu.conf").write_text(_QEMU_CONF)
        (own / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
        assignments = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in qemu.environment)
        self.emulator.write_text(f'#!/bin/sh\n{assignments}exec {shlex.join(qemu.command)} "$@"\n')
        self.emulator.chmod(0o755)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            if self.socket.exists():
                try:
                    self.virsh("list")
                except LibvirtdError:
                    pass
                else:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LibvirtdError(f"libvirtd did not start: {self.said()[-3000:]}")
            time.sleep(0.05)


def can_run() -> str:
    """Why a private libvirtd cannot run here; empty: it can."""
    if os.geteuid() != 0:
        return "it needs root, for mounts in a namespace of its own"
    probe = [*_UNSHARE, "sh", "-c", "mount --make-rprivate /"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"unshare(1) cannot be run: {error.strerror}"
    return done.stderr.strip() if done.returncode else ""
