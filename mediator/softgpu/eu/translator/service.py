"""The translator of a software GPU, put together; None where this host has none."""

from __future__ import annotations

import hashlib
import logging
import platform
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from mediator.softgpu.eu.translator import layout
from mediator.softgpu.eu.translator.cache import DiskCache, default_directory
from mediator.softgpu.eu.translator.compiler import host_features, llvm_version
from mediator.softgpu.eu.translator.linker import Linker
from mediator.softgpu.eu.translator.process import CompilerProcess, ProcessLimits
from mediator.softgpu.eu.translator.translations import Translations

_LOG = logging.getLogger(__name__)

QUICK_S: Final = 5
"""Processor time in which most kernels are compiled: so long those of others wait for one that is
made to take long."""

_FACTS = Path(__file__).parents[3] / "gen9" / "eu"
_EU = Path(__file__).parents[1]


def missing() -> str | None:
    """Why this host cannot translate; None if it can."""
    if platform.machine() not in {"x86_64", "AMD64"} or platform.system() != "Linux":
        return "kernels are compiled on x86-64 Linux alone"
    if find_spec("llvmlite") is None:
        return "llvmlite is not installed (the package's extra `eu` brings it)"
    if find_spec("mediator.softgpu.eu._native") is None:
        return "the C extension mediator.softgpu.eu._native is not built"
    try:
        import_module("mediator.softgpu.eu.native.worker")
    except ImportError as error:  # stale, or without the hot path that it shares types with
        return str(error)
    return None


@cache
def versions() -> bytes:
    """Digest of all that an object depends on beside the kernel's code: structures, the sources of
    everything that makes the text, LLVM, and the host's processor."""
    digest = hashlib.sha256(layout.fingerprint())
    for folder in (_FACTS, _EU):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    digest.update(repr((llvm_version(), host_features())).encode())
    return digest.digest()


def open_translations(
    directory: Path | None = None, limits: ProcessLimits | None = None
) -> Translations | None:
    """The translator, its cache in ``directory`` (the user's if it is None).

    None if something is `missing`, or if LLVM is there and cannot be loaded: told in the log.
    """
    if missing() is not None:
        return None
    from mediator.softgpu.eu.native.worker import routine_addresses  # not built everywhere

    try:
        known = versions()
    except (ImportError, OSError, AttributeError) as error:
        _LOG.warning("kernels are interpreted, which is slow: llvmlite does not load: %s", error)
        return None
    place = directory or default_directory()
    return Translations(
        CompilerProcess(replace(limits or ProcessLimits(), seconds=QUICK_S)),
        Linker(routine_addresses()),
        None if place is None else DiskCache(place),
        known,
        patient=CompilerProcess(limits),
    )
