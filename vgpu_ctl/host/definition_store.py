"""Definitions on disk: one JSON file a vGPU, named by its UUID, replaced atomically or not at all.

A file that is no definition is set aside as ``NAME.damaged`` and said so; the rest loads.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.host.definition import Definition, checked

_LOG = logging.getLogger(__name__)

_SUFFIX = ".json"
_SCRATCH = ".part"
_DAMAGED = ".damaged"
_LARGEST = 64 << 10
"""Bytes of a definition's file."""


class DefinitionStore:
    """The definitions in ``directory``, which is made when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def load(self, first: Collection[str] = ()) -> list[Definition]:
        """All definitions, by name. Raises ApiError FAILED when the directory cannot be read.

        Of several with one name, as copied files have it, one of the UUIDs ``first`` counts.
        """
        with self._failures("read"):
            paths = sorted(self.directory.iterdir()) if self.directory.is_dir() else []
        paths.sort(key=lambda path: path.stem not in first)
        found: dict[str, Definition] = {}
        for path in paths:
            if path.suffix == _SCRATCH:  # a write that was cut off: it never counted
                with suppress(OSError):
                    path.unlink()
            if path.suffix != _SUFFIX:
                continue
            try:
                definition = self._read(path)
                if definition.uuid != path.stem:
                    raise ValueError(f"it has UUID {definition.uuid}")
            except (OSError, ValueError, ApiError) as error:
                self._set_aside(path, f"is no definition of a vGPU: {error}")
                continue
            if any(other.name == definition.name for other in found.values()):
                self._set_aside(path, f"is a second definition of {definition.name}")
            else:
                found[definition.uuid] = definition
        return sorted(found.values(), key=lambda definition: definition.name)

    def uuids(self) -> set[str]:
        """Of whom there is a file, whatever is in it. Raises ApiError as `load`."""
        with self._failures("read"):
            paths = list(self.directory.iterdir()) if self.directory.is_dir() else []
        return {path.stem for path in paths if path.suffix == _SUFFIX}

    def has(self, uuid: str) -> bool:
        """Whether there is one of that UUID."""
        return self._path(uuid).exists()

    def put(self, definition: Definition) -> None:
        """Keep ``definition``, in place of an older one. Raises ApiError; the old one stays."""
        put_in([self], definition)

    def stage(self, definition: Definition) -> None:
        """Write ``definition`` beside its place, all of it. Raises ApiError; nothing is left."""
        scratch = self._scratch(definition.uuid)
        data = msgspec.json.format(msgspec.json.encode(definition), indent=2) + b"\n"
        with self._failures("write"):
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            try:
                with scratch.open("wb") as file:
                    os.fchmod(file.fileno(), 0o644)
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                self.drop_staged(definition.uuid)
                raise

    def commit(self, uuid: str) -> None:
        """Let what was staged take its place. Raises ApiError; the old one stays."""
        with self._failures("write"):
            self._scratch(uuid).replace(self._path(uuid))
        self._sync()

    def drop_staged(self, uuid: str) -> None:
        """Forget what was staged, if anything."""
        with suppress(OSError):
            self._scratch(uuid).unlink()

    def remove(self, uuid: str) -> None:
        """Forget a definition; none is no error. Raises ApiError."""
        with self._failures("remove"):
            try:
                self._path(uuid).unlink()
            except FileNotFoundError:
                return
        self._sync()

    def _read(self, path: Path) -> Definition:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError(f"more than {_LARGEST} bytes")
        return checked(msgspec.json.decode(data, type=Definition))

    def _set_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(path.name + _DAMAGED)
        try:
            path.replace(aside)
            where = f"set aside as {aside}"
        except OSError as problem:
            where = f"left where it is ({problem.strerror})"
        _LOG.error("%s %s; %s", path, why, where)

    def _path(self, uuid: str) -> Path:
        return self.directory / f"{uuid}{_SUFFIX}"

    def _scratch(self, uuid: str) -> Path:
        return self.directory / f"{uuid}{_SCRATCH}"

    def _sync(self) -> None:
        """Have the directory itself on disk: what is renamed outlives a power cut only then.

        The change is made already, and not taken back for this.
        """
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            _LOG.warning("%s cannot be synchronised: %s", self.directory, error.strerror)

    @contextmanager
    def _failures(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ApiError(
                ErrorCode.FAILED,
                f"cannot {verb} {error.filename or self.directory}: {error.strerror}",
                hint=f"nothing was changed; look at the file system of {self.directory}",
            ) from error


def put_in(stores: Sequence[DefinitionStore], definition: Definition) -> None:
    """Keep ``definition`` in all of ``stores``, or in none. Raises ApiError; the old ones stay.

    What can be short (room, permission) is found out before anything is replaced.
    """
    try:
        for store in stores:
            store.stage(definition)
        for store in stores:
            store.commit(definition.uuid)
    except ApiError:
        for store in stores:
            store.drop_staged(definition.uuid)
        raise
