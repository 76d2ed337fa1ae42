"""A libvirt with domains whose QEMU answers the commands that we send: no process behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from lxml import etree

from qemu_hooks.domain_facts import OWN_NAMESPACE, OWN_PREFIX, ROOM
from qemu_hooks.libvirt_connection import Connection


class LibvirtError(Exception):
    """As libvirt-python has it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self._code = code

    def get_error_code(self) -> int:
        return self._code

    def get_error_message(self) -> str:
        return str(self)


class Binding:
    """The constants of the module, and its exception."""

    libvirtError = LibvirtError  # noqa: N815 - libvirt's name
    VIR_DOMAIN_XML_INACTIVE = 2
    VIR_DOMAIN_XML_SECURE = 1
    VIR_DOMAIN_METADATA_ELEMENT = 2
    VIR_DOMAIN_AFFECT_LIVE = 1
    VIR_ERR_SYSTEM_ERROR = 38
    VIR_ERR_NO_DOMAIN = 42
    VIR_ERR_NO_CONNECT = 9
    VIR_ERR_AUTH_FAILED = 45
    VIR_ERR_AUTH_CANCELLED = 79
    VIR_ERR_AUTH_UNAVAILABLE = 80
    VIR_ERR_ACCESS_DENIED = 88
    VIR_ERR_OPERATION_DENIED = 29


class FakeDomain:
    """One domain, with its machine's devices, PCI buses and block nodes."""

    def __init__(self, xml: str, live: str | None = None) -> None:
        self.xml = xml
        self.live = live
        self.persistent = True
        self.saved = False
        self.uuid = str(uuid4())
        self.metadata: list[str | None] = []
        self.devices: dict[str, dict[str, Any]] = {}
        self.ports: list[str] = []
        self.room: dict[str, int] = {}
        """Behind ports, where it is not what a vGPU needs."""
        self.slots: list[int] = []
        self.nodes: dict[str, dict[str, Any]] = {}
        self.failing: dict[str, str] = {}
        """Commands that QEMU refuses, and what it says."""
        self.commands: list[str] = []
        self.on_delete: Callable[[str], None] = self.let_go
        self.listeners: dict[int, tuple[str, Any]] = {}

    def name(self) -> str:
        return "guest"

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return self.uuid

    def hasManagedSaveImage(self) -> bool:  # noqa: N802
        return self.saved

    def isPersistent(self) -> bool:  # noqa: N802
        return self.persistent

    def isActive(self) -> bool:  # noqa: N802
        return self.live is not None

    def XMLDesc(self, flags: int) -> str:  # noqa: N802
        if flags & Binding.VIR_DOMAIN_XML_INACTIVE:
            return self.xml
        assert self.live is not None
        return self.live

    def setMetadata(self, kind: int, text: str | None, key: str, uri: str, flags: int) -> None:  # noqa: N802
        """The root gets the namespace, as in libvirt."""
        assert (kind, key, uri, flags) == (2, OWN_PREFIX, OWN_NAMESPACE, 1)
        if "setMetadata" in self.failing:
            raise LibvirtError(1, self.failing["setMetadata"])
        self.metadata.append(text)
        assert self.live is not None
        root = etree.fromstring(self.live)
        for old in root.findall("metadata"):
            root.remove(old)
        if text is not None:
            element = etree.fromstring(text)
            element.tag = f"{{{uri}}}{element.tag}"
            etree.SubElement(root, "metadata").append(element)
        self.live = etree.tostring(root, encoding="unicode")

    # -- QEMU --------------------------------------------------------------------------------------

    def execute(self, command: str, arguments: dict[str, Any]) -> Any:
        self.commands.append(command)
        if command in self.failing:
            raise ValueError(self.failing[command])
        match command:
            case "qom-get":
                assert arguments["property"] == "pref64-reserve"
                return self.room.get(arguments["path"].rpartition("/")[2], ROOM)
            case "qom-list" if arguments["path"].count("/") > 2:
                port = arguments["path"].rpartition("/")[2]
                if port not in self.ports:
                    raise ValueError("Device not found")
                inside = [d for d in self.devices.values() if d.get("bus") == port]
                return [{"name": "type"}, *({"name": f"child[{n}]"} for n in range(len(inside)))]
            case "qom-list":
                anonymous = arguments["path"].endswith("-anon")
                return [
                    {"name": name, "type": f"child<{device.get('driver', 'edu')}>"}
                    for name, device in self.devices.items()
                    if name.startswith("device[") == anonymous
                ]
            case "query-pci":
                return [{"bus": 0, "devices": [{"slot": slot} for slot in self.slots]}]
            case "query-named-block-nodes":
                return [{"node-name": name} for name in self.nodes]
            case "blockdev-add":
                self.nodes[arguments["node-name"]] = arguments
            case "blockdev-del":
                del self.nodes[arguments["node-name"]]
            case "device_add":
                self.devices[arguments["id"]] = arguments
            case "device_del":
                self.on_delete(arguments["id"])
        return {}

    def let_go(self, identity: str) -> None:
        """The guest ejects it at once."""
        del self.devices[identity]
        self.tell("DEVICE_DELETED", device=identity)

    def tell(self, event: str, **data: str) -> None:
        for wanted, callback in self.listeners.values():
            if wanted == event:
                callback(None, self, event, 0, 0, json.dumps(data), None)


class QemuCalls:
    """The module of calls for QEMU alone."""

    @staticmethod
    def qemuMonitorCommand(domain: FakeDomain, text: str, flags: int) -> str:  # noqa: N802
        assert flags == 0
        request = json.loads(text)
        try:
            return json.dumps({"return": domain.execute(request["execute"], request["arguments"])})
        except ValueError as error:
            return json.dumps({"error": {"class": "GenericError", "desc": str(error)}})

    @staticmethod
    def qemuMonitorEventRegister(  # noqa: N802
        _handle: object, domain: FakeDomain, event: str, callback: Any, _opaque: None, _flags: int
    ) -> int:
        number = len(domain.listeners) + 1
        domain.listeners[number] = (event, callback)
        return number

    @staticmethod
    def qemuMonitorEventDeregister(handle: FakeLibvirt, number: int) -> None:  # noqa: N802
        for domain in handle.domains:
            domain.listeners.pop(number, None)


class FakeLibvirt:
    """A connection's handle."""

    def __init__(self, *domains: FakeDomain) -> None:
        self.domains = list(domains)
        self.defined: list[str] = []
        self.keeps = True
        """False: what it does not know is left out, as by a driver that is not QEMU's."""

    def listAllDomains(self) -> list[FakeDomain]:  # noqa: N802
        return self.domains

    def lookupByName(self, name: str) -> FakeDomain:  # noqa: N802
        for domain in self.domains:
            if domain.name() == name:
                return domain
        raise LibvirtError(Binding.VIR_ERR_NO_DOMAIN, f"no domain with matching name {name!r}")

    def defineXML(self, xml: str) -> FakeDomain:  # noqa: N802
        self.defined.append(xml)
        if self.keeps:
            self.domains[0].xml = xml
        return self.domains[0]


def connection(handle: FakeLibvirt) -> Connection:
    return Connection(Binding, QemuCalls, handle)
