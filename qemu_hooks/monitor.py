"""QEMU's monitor through libvirt: commands with their replies checked, and the events of a device.

Commands and events are those of the "QEMU QMP Reference Manual"; libvirt passes them on with
virDomainQemuMonitorCommand and virConnectDomainQemuMonitorEventRegister, and marks a domain as
tainted by the first.
"""

from __future__ import annotations

import itertools
import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qemu_hooks.domain_facts import DRIVER, GUARD_NODE, ROOM
from qemu_hooks.domain_problem import DomainProblem
from qemu_hooks.libvirt_connection import Connection

_PERIPHERAL = "/machine/peripheral"
"""Where devices with an id are (QOM path)."""
_ANONYMOUS = "/machine/peripheral-anon"
"""And those without."""
_NO_ROOM = (1 << 64) - 1
"""What a root port has where nobody asked for any."""
_DEVICE_EVENTS = ("DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR")

DeviceEvents = queue.Queue[tuple[str, dict[str, Any]]]


class MonitorRefusal(DomainProblem):
    """QEMU answered a command with an error."""


class Monitor:
    """The monitor of one running domain."""

    def __init__(self, connection: Connection, domain: Any) -> None:
        self._connection = connection
        self._domain = domain

    def execute(self, command: str, **arguments: Any) -> Any:
        """What the command returns. Raises MonitorRefusal, DomainProblem."""
        request = json.dumps({"execute": command, "arguments": arguments})
        with self._connection.errors():
            answer = self._connection.monitor.qemuMonitorCommand(self._domain, request, 0)
        try:
            reply = json.loads(answer)
        except ValueError as error:
            raise MonitorRefusal(f"QEMU: {command}: no answer in JSON: {answer!r:.200}") from error
        if not isinstance(reply, dict) or "return" not in reply:
            said = reply.get("error", {}) if isinstance(reply, dict) else {}
            raise MonitorRefusal(f"QEMU: {command}: {said.get('desc', answer)}")
        return reply["return"]

    def devices(self) -> set[str]:
        """The ids of all devices that have one."""
        return {str(found["name"]) for found in self.execute("qom-list", path=_PERIPHERAL)}

    def vfio_user_devices(self) -> set[str]:
        """The devices of vfio-user servers: their ids, or for those without one their QOM names."""
        found = (self.execute("qom-list", path=path) for path in (_PERIPHERAL, _ANONYMOUS))
        return {
            str(each["name"])
            for each in itertools.chain.from_iterable(found)
            if each.get("type") == f"child<{DRIVER}>"
        }

    def port_is_free(self, port: str) -> bool:
        """Whether there is a root port with that id, room for a vGPU, and nothing in it."""
        path = f"{_PERIPHERAL}/{port}"
        try:
            room = int(self.execute("qom-get", path=path, property="pref64-reserve"))
            found = self.execute("qom-list", path=f"{path}/{port}")
        except MonitorRefusal:  # no such port
            return False
        empty = not any(each["name"].startswith("child[") for each in found)
        return empty and ROOM <= room < _NO_ROOM

    def buses(self) -> list[dict[str, Any]]:
        """The PCI buses with what is on them."""
        found: list[dict[str, Any]] = self.execute("query-pci")
        return found

    def has_guard(self) -> bool:
        """Whether it refuses to be saved or moved because of us."""
        nodes = self.execute("query-named-block-nodes", flat=True)
        return any(node.get("node-name") == GUARD_NODE for node in nodes)

    @contextmanager
    def device_events(self) -> Iterator[DeviceEvents]:
        """What happens to devices meanwhile: name of the event, and its data."""
        found: DeviceEvents = queue.Queue()

        def take(*event: Any) -> None:
            name, details = event[2], event[5]
            found.put((str(name), json.loads(details) if details else {}))

        binding, handle = self._connection.monitor, self._connection.handle
        with self._connection.errors():
            numbers = [
                binding.qemuMonitorEventRegister(handle, self._domain, event, take, None, 0)
                for event in _DEVICE_EVENTS
            ]
        try:
            yield found
        finally:
            with self._connection.errors():
                for number in numbers:
                    binding.qemuMonitorEventDeregister(handle, number)
