"""The host: its GPUs and vGPUs, and all that an operator can do to them.

Every change is checked, then written to disk, then carried out; what fails half-way is taken back.
One lock is held by changes; what only looks takes none. Errors are ApiError.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mediator.physical.partition import MAX_VGPUS
from mmio_trap.memory_budget import fair_budget
from mmio_trap.vfio_user.server import Server
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.methods import DefineParams, ModifyParams
from vgpu_ctl.api.objects import EventKind, GpuInfo, TypeInfo, VgpuInfo, VgpuState
from vgpu_ctl.config import Config
from vgpu_ctl.host.admission import check_beside, check_changes, check_known, check_unattached
from vgpu_ctl.host.claims import Claims
from vgpu_ctl.host.definition import Definition, changed, checked, is_uuid, new_uuid
from vgpu_ctl.host.definition_store import DefinitionStore, put_in
from vgpu_ctl.host.descriptions import gpu_info, pci_gpu_info, type_info
from vgpu_ctl.host.event_bus import EventBus
from vgpu_ctl.host.gpu_choice import choose, reconfigured
from vgpu_ctl.host.gpu_types import offered_types, with_used_types
from vgpu_ctl.host.guest_events import GuestEvents
from vgpu_ctl.host.hosted_gpu import HostedGpu
from vgpu_ctl.host.hosted_vgpu import Active, HostedVgpu, client_of, domain_of
from vgpu_ctl.host.operator_reset import reset_by_operator
from vgpu_ctl.host.vgpu_socket import check_length, listen, socket_owner, socket_path
from vgpu_ctl.paths import Paths

if TYPE_CHECKING:
    from mediator.vgpu.vgpu_type import VgpuType
    from vgpu_ctl.uevents import PciGpu

_LOG = logging.getLogger(__name__)


class Host:
    """All GPUs and vGPUs of one vgpud. Any thread may call."""

    def __init__(self, config: Config, paths: Paths, bus: EventBus) -> None:
        """Nothing is read or started yet: see `restore`."""
        self.bus = bus
        self._config = config
        self._paths = paths
        self._definitions = DefinitionStore(paths.definitions)
        self._records = DefinitionStore(paths.active)
        self._lock = threading.RLock()
        self.claims = Claims(self, self._lock)
        self.types: Mapping[str, VgpuType] = offered_types(config.types)
        self._gpus = {gpu.name: HostedGpu(gpu, present=not gpu.pci) for gpu in config.gpus}
        self._vgpus: dict[str, HostedVgpu] = {}
        """By UUID."""
        self._found: list[PciGpu] = []
        """GPUs of this machine that nobody drives."""

    # -- looking ----------------------------------------------------------------------------------

    @property
    def gpus(self) -> list[HostedGpu]:
        """The GPUs, in the order of the configuration."""
        return list(self._gpus.values())

    @property
    def vgpus(self) -> list[HostedVgpu]:
        """The vGPUs by name."""
        return sorted(self._vgpus.values(), key=lambda each: each.name)

    def gpu_infos(self) -> list[GpuInfo]:
        """See the method `gpus`."""
        return [*map(gpu_info, self.gpus), *map(pci_gpu_info, self._found)]

    def type_infos(self) -> list[TypeInfo]:
        """See the method `types`."""
        return [type_info(kind, self.gpus) for kind in self.types.values()]

    @property
    def has_work(self) -> bool:
        """A request is queued or runs on some vGPU."""
        actives = [each.active for each in self.vgpus if each.active is not None]
        return any(active.vgpu is not None and active.vgpu.has_work for active in actives)

    @property
    def has_guests(self) -> bool:
        """A client is attached to some vGPU."""
        actives = [each.active for each in list(self._vgpus.values())]
        return any(active is not None and active.client is not None for active in actives)

    def infos(self) -> list[VgpuInfo]:
        """See the method `list`."""
        return [each.info() for each in self.vgpus]

    def find(self, key: str) -> HostedVgpu:
        """The vGPU of that name or UUID. Raises ApiError NOT_FOUND."""
        if is_uuid(key):
            found = self._vgpus.get(key.lower())
        else:
            found = next((each for each in self.vgpus if each.name == key), None)
        if found is None:
            names = ", ".join(each.name for each in self.vgpus[:8]) or "none"
            raise ApiError(
                ErrorCode.NOT_FOUND,
                f"there is no vGPU {key!r:.80}",
                field="vgpu",
                hint=f"there are: {names}" + (", ..." if len(self._vgpus) > 8 else ""),
            )
        return found

    # -- the life of the host ---------------------------------------------------------------------

    def restore(self) -> None:
        """Read the definitions, and start what was active before or starts by itself.

        What cannot be started is in its error state. Raises ApiError when nothing can be read.
        """
        with self._lock:
            for definition in self._definitions.load(first=self._records.uuids()):
                self._vgpus[definition.uuid] = self._hosted(definition, persistent=True)
            for definition in self._records.load():
                self._restore_active(definition)
            for hosted in self.vgpus:
                if self._records.has(hosted.uuid) or hosted.definition.autostart:
                    self._try_start(hosted)

    def _restore_active(self, definition: Definition) -> None:
        """What was active and has no definition on disk is transient."""
        if definition.uuid in self._vgpus:
            return
        try:
            check_beside(definition, [each.definition for each in self.vgpus])
        except ApiError as error:
            text = "%s was active and does not come back: %s"
            _LOG.error(text, definition.uuid, error.message)
            with suppress(ApiError):
                self._records.remove(definition.uuid)
        else:
            self._vgpus[definition.uuid] = self._hosted(definition, persistent=False)

    def shut_down(self) -> None:
        """End every vGPU, clients cut off; what was active is started by the next `restore`."""
        with self._lock:
            for hosted in self.vgpus:
                if hosted.active is not None:
                    self._deactivate(hosted)
            for gpu in self.gpus:
                gpu.shut_down()

    def reload(self, config: Config) -> list[str]:
        """Go by another configuration. What cannot change under its vGPUs is told as texts."""
        with self._lock:
            old, self._config = self._config, config
            used = {each.name: each.active.kind for each in self.vgpus if each.active is not None}
            self.types, problems = with_used_types(offered_types(config.types), used)
            for hosted in self.vgpus:
                if hosted.active is None:
                    self._configure(hosted)
            before, found = self._gpus, reconfigured(self._gpus, config.gpus)
            self._gpus = found.gpus
            for gpu in found.dropped:
                gpu.shut_down()
        for name in before.keys() - found.gpus.keys():
            self.bus.publish(EventKind.GPU_REMOVED, gpu=name)
        for name in found.gpus.keys() - before.keys():
            self.bus.publish(EventKind.GPU_ADDED, gpu=name)
        self.bus.publish(EventKind.RELOADED)
        return (
            found.problems
            + problems
            + [
                f"{field} changes when vgpud is started again"
                for field in ("control", "metrics")
                if getattr(old, field) != getattr(config, field)
            ]
        )

    def see_pci_gpus(self, found: list[PciGpu], devices: Collection[str]) -> None:
        """What is on the PCI bus of this machine now: GPUs, and addresses of all ``devices``."""
        with self._lock:
            for gpu in self.gpus:
                if gpu.config.pci:
                    self._set_present(gpu, present=gpu.config.pci in devices)
            known = {gpu.config.pci for gpu in self.gpus}
            before = {gpu.address for gpu in self._found}
            self._found = [gpu for gpu in found if gpu.address not in known]
            now = {gpu.address for gpu in self._found}
        for address in sorted(now - before):
            self.bus.publish(EventKind.GPU_ADDED, gpu=address, usable=False)
        for address in sorted(before - now):
            self.bus.publish(EventKind.GPU_REMOVED, gpu=address, usable=False)

    def _set_present(self, gpu: HostedGpu, *, present: bool) -> None:
        """A GPU has come, or has gone and takes its vGPUs to their error state."""
        if gpu.present == present:
            return
        gpu.present = present
        if not present:
            reason = f"{gpu.name} has vanished"
            for name in list(gpu.holders):
                self._fail(self.find(name), reason)
            gpu.shut_down()
        _LOG.warning("%s %s", gpu.name, "is there" if present else "has vanished")
        self.bus.publish(EventKind.GPU_ADDED if present else EventKind.GPU_REMOVED, gpu=gpu.name)

    # -- what an operator does --------------------------------------------------------------------

    def define(self, params: DefineParams) -> VgpuInfo:
        """Keep a definition."""
        with self._lock:
            hosted = self._define(params, persistent=True)
        self._publish(EventKind.DEFINED, hosted)
        return hosted.info()

    def create(self, params: DefineParams, *, transient: bool) -> VgpuInfo:
        """Define, unless it is transient, and start; or nothing at all."""
        with self._lock:
            hosted = self._define(params, persistent=not transient)
            with self._undoing() as undo:
                undo.append(lambda: self._forget(hosted))
                self._start(hosted)
        self._publish(EventKind.CREATED, hosted)
        return hosted.info()

    def start(self, key: str) -> VgpuInfo:
        """Give a defined vGPU its part of a GPU, and its socket."""
        with self._lock:
            hosted = self.find(key)
            if hosted.active is not None:
                raise ApiError(ErrorCode.BUSY, f"{hosted.name} is active already", field="vgpu")
            self._start(hosted)
        self._publish(EventKind.STARTED, hosted)
        return hosted.info()

    def stop(self, key: str, *, force: bool) -> VgpuInfo:
        """Take both back. A transient vGPU is gone then."""
        with self._lock:
            hosted = self.find(key)
            if hosted.state is VgpuState.DEFINED:
                raise ApiError(ErrorCode.BUSY, f"{hosted.name} is not active", field="vgpu")
            check_unattached(hosted, force=force)
            self._records.remove(hosted.uuid)
            self._end(hosted)
            if not hosted.persistent:
                del self._vgpus[hosted.uuid]
        return hosted.info()

    def destroy(self, key: str, *, force: bool) -> None:
        """Stop and undefine."""
        with self._lock:
            hosted = self.find(key)
            check_unattached(hosted, force=force)
            self._forget(hosted)
            self._end(hosted)
        self._publish(EventKind.UNDEFINED, hosted)

    def undefine(self, key: str) -> None:
        """Forget the definition; an active vGPU goes on as a transient one."""
        with self._lock:
            hosted = self.find(key)
            if not hosted.persistent:
                raise ApiError(ErrorCode.BUSY, f"{hosted.name} is transient", field="vgpu")
            if hosted.active is None:
                self._forget(hosted)
            else:
                self._definitions.remove(hosted.uuid)
                hosted.persistent = False
        self._publish(EventKind.UNDEFINED, hosted)

    def modify(self, params: ModifyParams) -> VgpuInfo:
        """Change a vGPU; weight, cap and autostart also while it is active."""
        with self._lock:
            hosted = self.find(params.vgpu)
            given = {
                field: value
                for field in ("name", "type", "gpu", "weight", "cap", "autostart")
                if (value := getattr(params, field)) is not None
            }
            definition = checked(changed(hosted.definition, given))
            self._check_new(definition, hosted, given.keys())
            check_changes(hosted, given.keys())
            self._write(hosted, definition)
            hosted.definition = definition
            self._configure(hosted)
            if hosted.active is not None and hosted.active.vgpu is not None:
                vgpu = hosted.active.vgpu
                vgpu.dispatcher.set_share(vgpu, hosted.weight, definition.cap)
        given.pop("gpu", None)  # the event says it anyway
        self._publish(EventKind.MODIFIED, hosted, **given)
        return hosted.info()

    def reset(self, key: str, level: str) -> VgpuInfo:
        """Have the engines lose what they do, or reset the whole function."""
        hosted = self.find(key)
        reset_by_operator(hosted, level)
        self._publish(EventKind.RESET, hosted, what=level, by="operator")
        return hosted.info()

    # -- parts ------------------------------------------------------------------------------------

    def _hosted(self, definition: Definition, *, persistent: bool) -> HostedVgpu:
        hosted = HostedVgpu(definition, persistent)
        self._configure(hosted)
        return hosted

    def _configure(self, hosted: HostedVgpu) -> None:
        """What the configuration says of a vGPU; where an active one is stays as it is."""
        kind = self.types.get(hosted.definition.type)
        hosted.default_weight = 1 if kind is None else kind.weight
        hosted.place = socket_path(self._config.sockets, self._paths, hosted.name)

    def _define(self, params: DefineParams, *, persistent: bool) -> HostedVgpu:
        definition = checked(
            Definition(
                uuid=params.uuid or new_uuid(),
                name=params.name,
                type=params.type,
                gpu=params.gpu,
                weight=params.weight,
                cap=1.0 if params.cap is None else params.cap,
                autostart=params.autostart,
            )
        )
        self._check_new(definition, None, ("name", "type", "gpu"))
        if len(self._vgpus) >= self._config.limits.vgpus:
            raise ApiError(
                ErrorCode.NO_CAPACITY,
                f"there are {len(self._vgpus)} vGPUs, as many as the configuration allows",
                hint="undefine some, or raise limits.vgpus",
            )
        hosted = self._hosted(definition, persistent=persistent)
        if persistent:
            self._definitions.put(definition)
        self._vgpus[definition.uuid] = hosted
        return hosted

    def _check_new(
        self, definition: Definition, known: HostedVgpu | None, fields: Collection[str]
    ) -> None:
        """Raises ApiError unless ``definition`` can stand beside all vGPUs but ``known``.

        Those ``fields`` are new.
        """
        others = [each.definition for each in self._vgpus.values() if each is not known]
        check_beside(definition, others)
        check_known(definition, self.types, self._gpus, fields)
        if "name" in fields:
            check_length(socket_path(self._config.sockets, self._paths, definition.name))

    def _write(self, hosted: HostedVgpu, definition: Definition) -> None:
        """Keep another definition of a vGPU, in both places or in neither."""
        stores = [self._definitions] if hosted.persistent else []
        if self._records.has(hosted.uuid):
            stores.append(self._records)
        put_in(stores, definition)

    def _forget(self, hosted: HostedVgpu) -> None:
        """Take it off the disk, from both places or from neither, and out of the list."""
        was_active = self._records.has(hosted.uuid)
        self._records.remove(hosted.uuid)
        with self._undoing() as undo:
            if was_active:
                undo.append(lambda: self._records.put(hosted.definition))
            self._definitions.remove(hosted.uuid)
        del self._vgpus[hosted.uuid]

    def _try_start(self, hosted: HostedVgpu) -> None:
        try:
            self._start(hosted)
        except ApiError as error:
            hosted.error = error.message
            _LOG.error("%s could not be started: %s", hosted.name, error.message)
            self._publish(EventKind.ERROR, hosted, reason=error.message)

    def _start(self, hosted: HostedVgpu) -> None:
        definition = hosted.definition
        kind = self.types.get(definition.type)
        if kind is None:
            text = f"type: there is no {definition.type!r} any more: {', '.join(self.types)}"
            raise ApiError(ErrorCode.INVALID, text, field="type")
        gpu = choose(self._gpus, definition, kind)
        with self._shortages(hosted), self._undoing() as undo:
            observer = GuestEvents(self.bus, hosted.name, hosted.uuid, gpu.name)
            device = gpu.open(hosted.name, kind, hosted.weight, definition.cap, observer)
            undo.append(lambda: gpu.close(hosted.name))
            if not self._records.has(hosted.uuid):  # else it is to be started again
                undo.append(lambda: self._records.remove(hosted.uuid))
            self._records.put(definition)
            path = hosted.place
            check_length(path)
            server = Server(
                device,
                str(path),
                mode=self._config.sockets.mode_bits,
                owner=socket_owner(self._config.sockets),
                require_seal=not gpu.config.allow_unsealed,
                budget=fair_budget(MAX_VGPUS * len(self._gpus)),
                on_change=lambda: self._client_changed(hosted),
            )
            undo.append(server.close)
            listen(server, path)
            thread = threading.Thread(
                target=server.serve_forever, name=f"accept {path}", daemon=True
            )
            undo.append(lambda: setattr(hosted, "active", None))
            hosted.active = Active(gpu, kind, device, server, path, thread)
            thread.start()
        hosted.error = ""
        extra = {"vgpu": hosted.name, "gpu": gpu.name}
        _LOG.info("%s is ready on %s: %s", hosted.name, gpu.name, path, extra=extra)

    def _end(self, hosted: HostedVgpu) -> None:
        """Leave the active state, or that of an error; the disk knows already."""
        before, gpu = hosted.state, hosted.definition.gpu
        hosted.error = ""
        if hosted.active is not None:
            gpu = self._deactivate(hosted)
        if before is not VgpuState.DEFINED:
            self.bus.publish(EventKind.STOPPED, vgpu=hosted.name, uuid=hosted.uuid, gpu=gpu)

    def _deactivate(self, hosted: HostedVgpu) -> str:
        """End its server and give its part of the GPU back: the name of that GPU."""
        active = hosted.active
        assert active is not None, "it is active"
        active.server.stop()
        active.thread.join()
        active.server.close()
        active.gpu.close(hosted.name)
        hosted.active = None
        self._configure(hosted)
        _LOG.info("%s has ended", hosted.name, extra={"vgpu": hosted.name})
        return active.gpu.name

    def _fail(self, hosted: HostedVgpu, reason: str) -> None:
        hosted.error = reason  # before it is inactive: nobody shall see it as merely defined
        gpu = self._deactivate(hosted)
        _LOG.error("%s: %s", hosted.name, reason, extra={"vgpu": hosted.name})
        self.bus.publish(
            EventKind.ERROR, vgpu=hosted.name, uuid=hosted.uuid, gpu=gpu, reason=reason
        )

    def _client_changed(self, hosted: HostedVgpu) -> None:
        """A client has come or gone; on its own thread, maybe while the host's lock is held."""
        active = hosted.active
        if active is None:
            return
        peer = active.server.peer
        if peer is not None:
            active.client, active.domain = client_of(peer), domain_of(peer.pid)
            self._publish(EventKind.ATTACHED, hosted, pid=peer.pid, command=active.client.command)
        elif active.client is not None:
            pid = active.client.pid
            if active.claim is not None:
                active.claim.used = True  # first: who sees no client shall not see a claim
            active.client, active.domain = None, ""
            self._publish(EventKind.DETACHED, hosted, pid=pid)

    def _publish(
        self, kind: EventKind, hosted: HostedVgpu, **data: str | int | float | bool
    ) -> None:
        gpu = hosted.active.gpu.name if hosted.active is not None else hosted.definition.gpu
        self.bus.publish(kind, vgpu=hosted.name, uuid=hosted.uuid, gpu=gpu, **data)

    @contextmanager
    def _shortages(self, hosted: HostedVgpu) -> Iterator[None]:
        """What this process can be short of, as ApiError."""
        try:
            yield
        except (OSError, RuntimeError) as error:  # RuntimeError: there can be no more threads
            _LOG.exception("%s could not be started", hosted.name)
            raise ApiError(
                ErrorCode.FAILED,
                f"{hosted.name} cannot be started: {error}",
                hint="look at the limits of open files, threads and memory",
            ) from error

    @contextmanager
    def _undoing(self) -> Iterator[list[Callable[[], None]]]:
        """What is appended is called, last first, when the block fails."""
        undo: list[Callable[[], None]] = []
        try:
            yield undo
        except BaseException:
            for step in reversed(undo):
                try:
                    step()
                except ApiError as error:
                    _LOG.error("not taken back: %s", error.message)
            raise
