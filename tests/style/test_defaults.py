"""What is not said is nothing: defaults of fields and parameters, and the few that are more.

A default is the one value that no caller states, so that nobody notices when it becomes another.
Fields and parameters begin with False, 0, nothing; whatever else they begin with stands in
`defaults.py`. A new one is added there.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

import mediator
import mmio_trap
import scheduler
from tests.style.defaults import DEFAULTS

_LEFT_OUT = ("mediator.softgpu.eu._native", "mediator.hotpath._hotpath")
"""Compiled from C."""


def _modules() -> Iterator[str]:
    for package in (mediator, mmio_trap, scheduler):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(_LEFT_OUT) and not found.name.endswith((".build", "._")):
                yield found.name


def _is_plain(value: object) -> bool:
    """Whether it is a number that is not merely chosen: long round ones are sizes and times."""
    if not isinstance(value, int) or isinstance(value, Enum):
        return False
    return value < 1000 or value % 1000 != 0


def _all_of(value: object) -> list[object]:
    """A tuple, list or table, flat."""
    match value:
        case dict():
            return [part for each in value.values() for part in _all_of(each)]
        case list() | tuple():
            return [part for each in value for part in _all_of(each)]
    return [value]


def _default_of(field: dataclasses.Field[Any]) -> object:
    """What a field begins with; of a table what is not nothing in it."""
    value, factory = field.default, field.default_factory
    if getattr(factory, "__name__", "") == "<lambda>" and callable(factory):
        value = factory()
    if isinstance(value, dict | list | tuple):
        return [each for each in _all_of(value) if _is_plain(each) and each]
    return value


def _functions(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, each in vars(module).items():
        if getattr(each, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(each):
            yield name, each
        elif inspect.isclass(each):
            for inner, method in vars(each).items():
                function = getattr(method, "__func__", method)
                made = dataclasses.is_dataclass(each) and inner == "__init__"
                if inspect.isfunction(function) and not made:
                    yield f"{name}.{inner}", function


def _defaults(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, function in _functions(module):
        for parameter in inspect.signature(function).parameters.values():
            if _is_plain(parameter.default):
                yield f"{name}({parameter.name})", parameter.default
    for name, each in vars(module).items():
        if inspect.isclass(each) and each.__module__ == module.__name__:
            if dataclasses.is_dataclass(each):
                for field in dataclasses.fields(each):
                    default = _default_of(field)
                    if _is_plain(default) or isinstance(default, list):
                        yield f"{name}.{field.name}", default
            elif issubclass(each, tuple):
                for field_name, value in getattr(each, "_field_defaults", {}).items():
                    if _is_plain(value):
                        yield f"{name}.{field_name}", value


_MODULES = {name: importlib.import_module(name) for name in sorted(_modules())}
"""Imported here and in no test: else a module's lines would seem to be run by that test alone."""


@pytest.mark.parametrize("name", _MODULES)
def test_what_is_not_said_is_nothing(name: str) -> None:
    found = {
        where: f"{value!r}".replace(" ", "") for where, value in _defaults(_MODULES[name]) if value
    }
    expected = dict(each.split("=") for each in DEFAULTS.get(name, "").split())
    assert found == expected, "see tests/style/defaults.py"
