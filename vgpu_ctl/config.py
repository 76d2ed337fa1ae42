"""The configuration of vgpud: one TOML file, every setting with a default, none of them needed.

Facts are the structs; `load` reads a file and checks what concerns more than one value. `example`
is the file that is installed, made from the structs: every setting, explained and commented out.
"""

from __future__ import annotations

import grp
import inspect
import ipaddress
import pwd
import re
import textwrap
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mediator.gen9.identity import IDENTITIES
from mediator.vgpu.vgpu_type import TYPES
from vgpu_ctl.config_file import (
    ALLOWED,
    ConfigError,
    Document,
    Keys,
    allowed,
    near,
    one_of,
    quoted,
    unwrap,
)

__all__ = ["Config", "ConfigError", "example", "gid_of", "load", "parse", "uid_of"]

LONGEST_FILE = 1 << 20
"""Bytes of a configuration file."""
_DEVICE_ID_PATTERN = rf"\A(?:{'|'.join(f'{device_id:04x}' for device_id in IDENTITIES)})\Z"
_DEVICE_IDS = one_of([f'"{device_id:04x}"' for device_id in IDENTITIES])
_DEVICES = one_of([f"{device_id:04x} {known.name}" for device_id, known in IDENTITIES.items()])
_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[A-Za-z0-9.-]{1,253})):(?P<port>[0-9]{1,5})")
_ADDRESSES = "HOST:PORT, such as 127.0.0.1:9446 or [::1]:9446, with a port up to 65535"
_MODES = 'text such as "0660" or "0600": read and write for owner and group, nothing for others'

Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,31}\Z",
        extra={ALLOWED: "1 to 32 letters, digits, - _ and ., the first a letter or a digit"},
    ),
]
"""Of a GPU or a type: it becomes a label, a part of messages, and a word on command lines."""

User = Annotated[
    str,
    Meta(
        pattern=r"\A(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?)?\Z",
        extra={ALLOWED: "a name of letters, digits, - and _, or a number"},
    ),
]
"""A user or a group of this machine."""


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process."""

    drain_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="How long SIGTERM lets requests that are queued come to their end.",
        ),
    ] = 10.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least important records that are logged."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "console", "logfmt", "json"],
        Meta(description="How records are written; auto: console on a terminal, else logfmt."),
    ] = "auto"


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control socket, which `vgpuctl` uses."""

    group: Annotated[
        User,
        Meta(description="Group of the socket; empty: the daemon's own."),
    ] = ""
    mode: Annotated[
        str,
        Meta(
            pattern=r"\A(?:0?6[046]0)?\Z",
            extra={ALLOWED: _MODES},
            description="Mode of the socket; empty: 0660 with a group, else 0600.",
        ),
    ] = ""
    connections: Annotated[
        int, Meta(ge=1, le=1024, description="Clients at the same time; others are refused.")
    ] = 64

    @property
    def mode_bits(self) -> int:
        """The mode as a number."""
        return int(self.mode or ("0660" if self.group else "0600"), 8)


class SocketsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vfio-user sockets, one for each active vGPU. QEMU's user must be able to connect."""

    owner: Annotated[
        User,
        Meta(description="User, such as libvirt-qemu; empty: the daemon's own."),
    ] = ""
    group: Annotated[
        User,
        Meta(description="Group, such as kvm; empty: the daemon's own."),
    ] = ""
    mode: Annotated[
        str,
        Meta(
            pattern=r"\A0?6[046]0\Z",
            extra={ALLOWED: _MODES},
            description="Mode of the sockets. Who can connect has the vGPU.",
        ),
    ] = "0600"
    directory: Annotated[
        str,
        Meta(
            pattern=r"\A(?:/[^\x00-\x1f\x7f]*)?\Z",
            extra={ALLOWED: "an absolute path; empty: the runtime directory"},
            description="Where they are; empty: in the runtime directory.",
        ),
    ] = ""

    @property
    def mode_bits(self) -> int:
        """The mode as a number."""
        return int(self.mode, 8)


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metrics for Prometheus, over HTTP without a password: names and figures, no secrets."""

    listen: Annotated[
        tuple[str, ...],
        Meta(
            max_length=16,
            description="Addresses, HOST:PORT or [HOST]:PORT. Port 0 is any free one; [] is none.",
        ),
    ] = ("127.0.0.1:9446",)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host, without brackets, and port of each."""
        return tuple(_address(text) for text in self.listen)


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients of the control socket can use up."""

    vgpus: Annotated[
        int, Meta(ge=1, le=4096, description="vGPUs that are defined or active, in all.")
    ] = 256


class GpuConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GPU. Give the section once for each; without any there is one software GPU."""

    name: Annotated[Name, Meta(description="Its name, in messages and metrics.")] = "gpu0"
    backend: Annotated[
        Literal["softgpu", "vfio"],
        Meta(
            extra={ALLOWED: '"softgpu"'},
            description='"softgpu": a software Gen9 GPU. There is no code for real GPUs yet.',
        ),
    ] = "softgpu"
    device_id: Annotated[
        str,
        Meta(
            pattern=_DEVICE_ID_PATTERN,
            extra={ALLOWED: _DEVICE_IDS},
            description=f"PCI device id of a software GPU: {_DEVICES}.",
        ),
    ] = "5912"
    address_space: Annotated[
        Literal["shadow", "direct"],
        Meta(
            description="shadow: guest page tables are shadowed; direct: they are used as they "
            "are, in an address space for each vGPU."
        ),
    ] = "shadow"
    ggtt: Annotated[
        Literal["ballooned", "private"],
        Meta(
            description="ballooned: each vGPU has a part of the global GTT; private: each has all "
            "of it in its turn."
        ),
    ] = "ballooned"
    policy: Annotated[
        Literal["timeslice", "fifo"],
        Meta(description="Who runs next: time slices by weight, or the order of arrival."),
    ] = "timeslice"
    slice_ms: Annotated[
        float,
        Meta(
            ge=0.5,
            le=1000,
            description="Length of a time slice in milliseconds; for policy timeslice.",
        ),
    ] = 16.0
    watchdog_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=10000,
            description="How long a vGPU may take to give way at the end of its slice, in "
            "milliseconds, before its engines are reset.",
        ),
    ] = 150
    pci: Annotated[
        str,
        Meta(
            pattern=r"\A(?:[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7])?\Z",
            extra={ALLOWED: "a PCI address such as 0000:00:02.0, in lower case; empty: none"},
            description="A PCI address: the GPU is there while that device is; empty: always.",
        ),
    ] = ""
    types: Annotated[
        tuple[str, ...],
        Meta(max_length=256, description="Types of vGPU that may be on it; []: all."),
    ] = ()
    allow_unsealed: Annotated[
        bool,
        Meta(
            description="Accept guest memory in files that their owner can cut off or empty "
            "(/dev/shm, huge pages). Who does that kills vgpud."
        ),
    ] = False

    @property
    def device_number(self) -> int:
        """The device id as a number."""
        return int(self.device_id, 16)


class TypeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A type of vGPU, beside those that vgpud has, or in place of the one of that name."""

    kind: Annotated[
        Literal["ballooned", "private", "passthrough"],
        Meta(
            description="ballooned: a part of the global GTT; private: all of it in its turn; "
            "passthrough: one client has the whole GPU."
        ),
    ]
    low_mib: (
        Annotated[
            int,
            Meta(
                ge=16,
                le=256,
                description="Mappable graphics memory in MiB; ballooned only, and needed there.",
            ),
        ]
        | None
    ) = None
    high_mib: (
        Annotated[
            int,
            Meta(
                ge=16,
                le=1792,
                description="Graphics memory beyond it in MiB; ballooned only, and needed there.",
            ),
        ]
        | None
    ) = None
    fences: Annotated[int, Meta(ge=1, le=32, description="Fence registers.")] = 32
    weight: Annotated[
        int, Meta(ge=1, le=1024, description="Share of GPU time against others, unless told.")
    ] = 4
    window_gib: (
        Annotated[
            Literal[16, 32, 64, 128, 256],
            Meta(description="Guest addresses that the GPU reaches, in GiB; private only."),
        ]
        | None
    ) = None


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of the configuration."""

    daemon: DaemonConfig = DaemonConfig()
    control: ControlConfig = ControlConfig()
    sockets: SocketsConfig = SocketsConfig()
    metrics: MetricsConfig = MetricsConfig()
    limits: LimitsConfig = LimitsConfig()
    gpus: Annotated[tuple[GpuConfig, ...], Meta(max_length=64)] = msgspec.field(
        name="gpu", default=(GpuConfig(),)
    )
    types: dict[Name, TypeConfig] = {}


EXAMPLE_TYPES = {
    "small": TypeConfig(kind="ballooned", low_mib=64, high_mib=192, fences=8, weight=2),
    "wide": TypeConfig(kind="private", window_gib=16),
}
"""How types are defined, for `example`."""
_EXAMPLE_HEAD = """\
# Configuration of vgpud; see vgpud.toml(5). No setting is needed: these are the defaults, and
# examples of types. SIGHUP has it read again.
"""


def load(path: Path, builtin_types: Collection[str] = tuple(TYPES)) -> Config:
    """The configuration in the file ``path``; the defaults when there is none.

    Raises ConfigError when it cannot be read or is wrong. ``builtin_types``: names that
    `GpuConfig.types` may use beside those that the file defines.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > LONGEST_FILE:
        raise ConfigError(f"{path}: too long: {LONGEST_FILE} bytes are allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: byte {data[error.start]:#x} is not UTF-8") from error
    return parse(text, path, builtin_types)


def parse(text: str, path: Path, builtin_types: Collection[str] = tuple(TYPES)) -> Config:
    """The configuration that ``text`` is. Raises ConfigError, which names ``path``; see `load`."""
    document = Document(text, path)
    config = document.convert(Config)
    for keys, problem in _cross_problems(config, document.values, builtin_types):
        raise document.error(keys, problem)
    return config


def uid_of(name: str) -> int:
    """Number of the user ``name``, which may be a number. Raises ConfigError for nobody."""
    try:
        return _number(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError) as error:
        raise ConfigError(f"user {quoted(name)} does not exist on this machine") from error


def gid_of(name: str) -> int:
    """Number of the group ``name``, which may be a number. Raises ConfigError for none."""
    try:
        return _number(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError) as error:
        raise ConfigError(f"group {quoted(name)} does not exist on this machine") from error


def example() -> str:
    """The configuration that is installed: every setting with its default, commented out."""
    sections = [_EXAMPLE_HEAD]
    for field in msgspec.structs.fields(Config):
        if field.name == "gpus":
            sections.append(_section("[[gpu]]", GpuConfig()))
        elif field.name != "types":
            sections.append(_section(f"[{field.name}]", field.default))
    explained: set[str] = set()
    for name, kind in EXAMPLE_TYPES.items():
        sections.append(_section(f"#[types.{name}]", kind, explained))
        explained |= {field.name for field in msgspec.structs.fields(TypeConfig)}
    return "\n".join(sections)


def _section(header: str, settings: msgspec.Struct, explained: Collection[str] = ()) -> str:
    """A table with ``settings`` as they are; None is left out, what is ``explained`` is short."""
    lines = [] if explained else _comment(inspect.getdoc(type(settings)) or "")
    lines.append(header)
    for field in msgspec.structs.fields(type(settings)):
        value = getattr(settings, field.name)
        if value is None:
            continue
        if field.name not in explained:
            lines += _comment(_explanation(field.type))
        lines.append(f"#{field.name} = {msgspec.json.encode(value).decode()}")
    return "\n".join(lines) + "\n"


def _explanation(kind: Any) -> str:
    """What a setting means, with its range."""
    base, notes = unwrap(kind)
    text = " ".join(note.description for note in notes if note.description)
    return f"{text} Allowed: {allowed(kind)}." if base in (int, float) else text


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")


def _number(digits: str) -> int:
    """A user's or group's number. Raises ValueError past 32 bits; the last one means "nobody"."""
    if len(digits) > 10 or int(digits) >= (1 << 32) - 1:
        raise ValueError(digits)
    return int(digits)


def _cross_problems(
    config: Config, values: dict[str, Any], builtin_types: Collection[str]
) -> Iterator[tuple[Keys, str]]:
    yield from _metrics_problems(config.metrics)
    if config.control.group:
        try:
            gid_of(config.control.group)
        except ConfigError as error:
            yield ("control", "group"), str(error)
    for name, kind in config.types.items():
        yield from _type_problems(("types", name), kind)
    known_types = [*builtin_types, *config.types]
    given = values.get("gpu", [])
    for index, gpu in enumerate(config.gpus[: len(given)]):
        keys: Keys = ("gpu", index)
        if gpu.backend == "vfio":
            yield (*keys, "backend"), '"vfio" is not allowed: there is no code for real GPUs yet'
        if gpu.policy == "fifo" and "slice_ms" in given[index]:
            yield (*keys, "slice_ms"), 'has no meaning with policy "fifo": leave it out'
        for other, before in enumerate(config.gpus[:index]):
            if before.name == gpu.name:
                yield (*keys, "name"), f"{quoted(gpu.name)} is the name of gpu[{other}] too"
            if gpu.pci and before.pci == gpu.pci:
                yield (*keys, "pci"), f"{quoted(gpu.pci)} is gpu[{other}]'s too"
        for place, name in enumerate(gpu.types):
            if name not in known_types:
                problem = f"{quoted(name)} is no type of vGPU: {near(name, known_types)}"
                yield (*keys, "types", place), problem
            if name in gpu.types[:place]:
                yield (*keys, "types", place), f"{quoted(name)} is there twice"


def _type_problems(keys: Keys, kind: TypeConfig) -> Iterator[tuple[Keys, str]]:
    kinds = {"low_mib": "ballooned", "high_mib": "ballooned", "window_gib": "private"}
    for field in msgspec.structs.fields(TypeConfig):
        only = kinds.get(field.name, kind.kind)
        is_given = getattr(kind, field.name) is not None
        if is_given and only != kind.kind:
            yield (*keys, field.name), f"goes with kind {quoted(only)} only"
        if not is_given and only == kind.kind == "ballooned":
            yield (*keys, field.name), f"is missing: a ballooned type needs {allowed(field.type)}"


def _metrics_problems(metrics: MetricsConfig) -> Iterator[tuple[Keys, str]]:
    seen: set[tuple[str, int]] = set()
    for index, text in enumerate(metrics.listen):
        keys: Keys = ("metrics", "listen", index)
        try:
            address = _address(text)
        except ValueError:
            yield keys, f"{quoted(text)} is not allowed: {_ADDRESSES}"
            continue
        if address in seen and address[1] != 0:
            yield keys, f"{quoted(text)} is there twice"
        seen.add(address)


def _address(text: str) -> tuple[str, int]:
    """Host and port. Raises ValueError for what is no address."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(text)
    port = int(match["port"])
    if match["v6"]:
        return str(ipaddress.IPv6Address(match["v6"])), port
    host = match["host"].lower()
    if host.replace(".", "").isdigit():
        return str(ipaddress.IPv4Address(host)), port
    return host, port
