"""The file of `apply`, `assert` and `export`: what vGPUs a host should have. Parsing only.

    version: v1
    vgpus:
      - name: web
        type: V9_4
        weight: 200
      - {name: spare, type: V9_8, active: false}

YAML or JSON. What is left out stays as it is, or is the type's or vgpud's choice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import yaml

from vgpu_ctl.api.objects import TypeInfo, VgpuInfo, VgpuState

_ALONE = "passthrough"
"""The kind of type of which one vGPU has all of a GPU."""


class WantedVgpu(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One vGPU as it should be; what may be is for `vgpu_ctl/cli/declaration_check.py` to say."""

    name: str
    type: str
    uuid: str | None = None
    gpu: str | None = None
    weight: int | None = None
    cap: float | None = None
    autostart: bool | None = None
    active: bool = True


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a file."""

    version: Literal["v1"]
    vgpus: list[WantedVgpu]


class DeclarationError(ValueError):
    """A file that says nothing clear; the text names the place."""


def parse_declaration(text: str) -> Declaration:
    """What a file says. Raises DeclarationError."""
    plain = _parsed(text)
    try:
        wanted = msgspec.convert(plain, Declaration)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        where = place.strip("`").lstrip(".")
        raise DeclarationError(f"{where}: {message}" if where else message) from error
    for field in ("name", "uuid"):
        _refuse_twice(wanted.vgpus, field)
    return wanted


def declared(vgpus: Iterable[VgpuInfo], types: Iterable[TypeInfo]) -> Declaration:
    """The file that describes these vGPUs, on a host that offers these ``types``.

    One in its error state should be active; one that has a GPU of its own has no share of it.
    """
    alone = {kind.name for kind in types if kind.kind == _ALONE}
    return Declaration(
        version="v1", vgpus=[_as_wanted(vgpu, shares=vgpu.type not in alone) for vgpu in vgpus]
    )


def _as_wanted(vgpu: VgpuInfo, *, shares: bool) -> WantedVgpu:
    return WantedVgpu(
        name=vgpu.name,
        type=vgpu.type,
        uuid=vgpu.uuid,
        gpu=vgpu.wanted_gpu or None,
        weight=vgpu.weight if shares else None,
        cap=vgpu.cap if shares else None,
        autostart=vgpu.autostart,
        active=vgpu.state is not VgpuState.DEFINED,
    )


def _refuse_twice(vgpus: Iterable[WantedVgpu], field: str) -> None:
    """Names and UUIDs are for one each."""
    values = (getattr(vgpu, field) for vgpu in vgpus)
    counts = Counter(str(value).lower() for value in values if value is not None)
    twice = [value for value, count in counts.items() if count > 1]
    if twice:
        raise DeclarationError(f"vgpus: the {field} {twice[0]!r} is there {counts[twice[0]]} times")


def _parsed(text: str) -> Any:
    """JSON, as YAML does not take all of it (tabs), or YAML."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError:
            pass  # YAML may begin like this, too
        except DeclarationError:
            raise
        except ValueError as error:
            raise DeclarationError("a number with too many digits") from error
        except RecursionError as error:
            raise DeclarationError("too many levels") from error
    return _from_yaml(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises DeclarationError for a key that comes again."""
    keys = Counter(key for key, _ in pairs)
    twice = [key for key, count in keys.items() if count > 1]
    if twice:
        raise DeclarationError(f"the key {twice[0]!r} is there {keys[twice[0]]} times")
    return dict(pairs)


def _from_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise DeclarationError(f"{where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise DeclarationError(str(error)) from error
    except RecursionError as error:
        raise DeclarationError("too many levels") from error


class _UniqueKeys(yaml.SafeLoader):
    """YAML's own, but that a key may not be there twice, and no value is a mistake of ours."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the base class does. Raises ConstructorError for what is not of its type, too."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"cannot be read as {kind}", node.start_mark
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the base class does. Raises ConstructorError for a key that comes again."""
        seen = set()
        for key, _ in node.value:
            word = getattr(key, "value", None)
            if isinstance(word, str) and word in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {word!r} is there twice", key.start_mark
                )
            seen.add(word if isinstance(word, str) else id(key))
        return super().construct_mapping(node, deep)
