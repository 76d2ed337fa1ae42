"""QEMU's options in ``<qemu:commandline>``. Pure; takes elements of ElementTree and of lxml alike.

The standard library alone is imported: the hook runs at the start of every domain of the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from qemu_hooks.domain_facts import ARGUMENT_TAG, COMMANDLINE_TAG


class Option(NamedTuple):
    """An option of QEMU in ``<qemu:commandline>`` with its value, and their elements."""

    name: str
    value: str
    elements: tuple[Any, ...]

    @property
    def object(self) -> dict[str, Any]:
        """The value where it is a JSON object, else empty."""
        return json_object(self.value)

    @property
    def properties(self) -> Mapping[str, Any]:
        """The same, and those of ``driver,key=value,...`` too.

        A comma in a value, which is doubled there, is of no interest here.
        """
        plain = (part.partition("=") for part in self.value.split(",") if "=" in part)
        return self.object or {key: value for key, _, value in plain}


def json_object(text: str) -> dict[str, Any]:
    """``text`` as a JSON object; empty where it is none."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def options(domain: Any) -> Iterator[Option]:
    """The options in ``<qemu:commandline>``, in order; a value alone is an option without name."""
    for commandline in domain.findall(COMMANDLINE_TAG):
        waiting: Any = None
        for argument in commandline.findall(ARGUMENT_TAG):
            value = argument.get("value", "")
            if waiting is not None and not value.startswith("-"):
                yield Option(waiting.get("value"), value, (waiting, argument))
                waiting = None
                continue
            if waiting is not None:
                yield Option(waiting.get("value"), "", (waiting,))
            waiting = argument if value.startswith("-") else None
            if waiting is None:
                yield Option("", value, (argument,))
        if waiting is not None:
            yield Option(waiting.get("value"), "", (waiting,))


def devices(domain: Any) -> Iterator[Option]:
    """Those that make a device."""
    return (option for option in options(domain) if option.name in ("-device", "--device"))
