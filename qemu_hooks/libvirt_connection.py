"""The way to libvirt: its Python binding is optional, and its errors become `DomainProblem`.

    with connected("qemu:///system") as libvirt:
        domain = libvirt.domain("web")

https://libvirt.org/python.html. The binding is imported here and nowhere else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from uuid import UUID

from qemu_hooks.domain_problem import DomainDenied, DomainMissing, DomainProblem

_INSTALL = (
    "`apt-get install pkg-config gcc libvirt-dev`, then `pip install 'vgpu-mediator[libvirt]'` "
    "with this Python's pip"
)


class Connection:
    """An open connection. Methods raise DomainProblem for what libvirt refuses."""

    def __init__(self, binding: Any, monitor: Any, handle: Any) -> None:
        self.binding = binding
        self.monitor = monitor
        """The module of QEMU's own calls."""
        self.handle = handle

    def domain(self, key: str) -> Any:
        """The domain of that name or UUID. Raises DomainMissing."""
        with self.errors():
            if _is_uuid(key):
                with suppress(self.binding.libvirtError):
                    return self.handle.lookupByUUIDString(key)
            return self.handle.lookupByName(key)

    def domains(self) -> list[Any]:
        """All of them."""
        with self.errors():
            found: list[Any] = self.handle.listAllDomains()
            return found

    def persistent_xml(self, domain: Any) -> str:
        """What it is started with next time. Raises DomainProblem for a transient domain."""
        with self.errors():
            if not domain.isPersistent():
                raise DomainProblem(
                    f"domain {domain.name()!r} is transient: it has no definition to change",
                    hint="use --live while it runs, or change what it is created from",
                )
            flags = self.binding.VIR_DOMAIN_XML_INACTIVE | self.binding.VIR_DOMAIN_XML_SECURE
            return str(domain.XMLDesc(flags))

    def live_xml(self, domain: Any) -> str:
        """How it runs. Raises DomainProblem unless it does."""
        with self.errors():
            if not domain.isActive():
                raise DomainProblem(
                    f"domain {domain.name()!r} does not run",
                    hint="without --live its definition is changed",
                )
            return str(domain.XMLDesc(0))

    def has_managed_save(self, domain: Any) -> bool:
        """Whether its next start would restore a state that was saved."""
        with self.errors():
            return bool(domain.isPersistent() and domain.hasManagedSaveImage())

    def define(self, xml: str) -> Any:
        """Keep another definition of a domain."""
        with self.errors():
            return self.handle.defineXML(xml)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """libvirt's errors as ours."""
        try:
            yield
        except self.binding.libvirtError as error:
            raise _explained(self.binding, error) from error


@contextmanager
def connected(uri: str) -> Iterator[Connection]:
    """A connection to the libvirt at ``uri``. Raises DomainProblem."""
    binding, monitor = _binding()
    _run_events(binding)
    try:
        handle = binding.open(uri)
    except binding.libvirtError as error:
        raise _explained(binding, error) from error
    try:
        yield Connection(binding, monitor, handle)
    finally:
        with suppress(binding.libvirtError):
            handle.close()


def _binding() -> tuple[Any, Any]:
    try:
        import libvirt
        import libvirt_qemu
    except ImportError as error:
        raise DomainProblem(f"no libvirt-python: {error}", hint=_INSTALL) from error
    return libvirt, libvirt_qemu


@cache
def _run_events(binding: Any) -> None:
    """Events come only while somebody runs libvirt's loop, which must be there before `open`."""
    binding.registerErrorHandler(_say_nothing, None)  # errors are raised as well
    binding.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            binding.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt events", daemon=True).start()


def _say_nothing(_context: object, _error: object) -> None:
    return


def _explained(binding: Any, error: Any) -> DomainProblem:
    text = str(error.get_error_message() or error)
    code = error.get_error_code()
    if code == binding.VIR_ERR_NO_DOMAIN:
        return DomainMissing(text, hint="`virsh list --all` has them; --connect names the libvirt")
    if (
        code
        in (
            binding.VIR_ERR_AUTH_FAILED,
            binding.VIR_ERR_AUTH_CANCELLED,
            binding.VIR_ERR_AUTH_UNAVAILABLE,
            binding.VIR_ERR_ACCESS_DENIED,
            binding.VIR_ERR_OPERATION_DENIED,
        )
        or "Permission denied" in text
    ):
        return DomainDenied(text, hint="become root, or join the group libvirt")
    if code in (binding.VIR_ERR_SYSTEM_ERROR, binding.VIR_ERR_NO_CONNECT):
        return DomainProblem(text, hint="is libvirtd or virtqemud running? see --connect")
    return DomainProblem(f"libvirt: {text}")


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
