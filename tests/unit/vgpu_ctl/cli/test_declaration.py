"""The file of `apply`, `assert` and `export`."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.unit.vgpu_ctl.cli import samples
from vgpu_ctl.api.objects import VgpuState
from vgpu_ctl.cli.declaration import (
    Declaration,
    DeclarationError,
    WantedVgpu,
    declared,
    parse_declaration,
)
from vgpu_ctl.cli.output import json_line, yaml_text

TEXT = """
version: v1
vgpus:
  - name: web
    type: V9_4
    weight: 200
    cap: 1
  - {name: spare, type: V9_8, active: false, autostart: true}
"""


def test_yaml() -> None:
    assert parse_declaration(TEXT) == Declaration(
        version="v1",
        vgpus=[
            WantedVgpu(name="web", type="V9_4", weight=200, cap=1.0),
            WantedVgpu(name="spare", type="V9_8", active=False, autostart=True),
        ],
    )


def test_json() -> None:
    vgpu = {"name": "web", "type": "V9_4"}
    text = json.dumps({"version": "v1", "vgpus": [vgpu]}, indent="\t")
    assert parse_declaration(text).vgpus == [WantedVgpu(name="web", type="V9_4")]


def test_what_is_written_is_read() -> None:
    vgpus = [samples.vgpu("web", active=True), samples.vgpu("ünï", 2, cap=0.25)]
    written = declared(vgpus, samples.TYPES)
    assert parse_declaration(yaml_text(written)) == written
    assert parse_declaration(json_line(written)) == written


def test_what_is_exported_can_be_asked_for() -> None:
    """No weight of what shares with nobody, no GPU that vgpud chose, no end of what is broken."""
    alone = msgspec.structs.replace(samples.type_named("whole"), kind="passthrough")
    vgpus = [
        samples.vgpu("all", 1, type="whole", weight=16),
        samples.vgpu("free", 2, active=True),
        samples.vgpu("bound", 3, active=True, wanted_gpu="gpu0"),
        samples.vgpu("broken", 4, state=VgpuState.ERROR),
    ]
    found = {each.name: each for each in declared(vgpus, [*samples.TYPES, alone]).vgpus}
    assert (found["all"].weight, found["all"].cap) == (None, None)
    assert (found["free"].gpu, found["bound"].gpu) == (None, "gpu0")
    assert [found[name].active for name in ("all", "free", "broken")] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expected `object`, got `null`"),
        ("vgpus: []", "Object missing required field `version`"),
        ("version: v2\nvgpus: []", "version: Invalid enum value 'v2'"),
        ("version: v1", "Object missing required field `vgpus`"),
        ("version: v1\nvgpus: {}", "vgpus: Expected `array`, got `object`"),
        ("version: v1\nvgpus: []\nmore: 1", "Object contains unknown field `more`"),
        ("version: v1\nvgpus: [{name: a}]", "vgpus[0]: Object missing required field `type`"),
        ("version: v1\nvgpus: [{name: a, type: b, wieght: 1}]", "unknown field `wieght`"),
        ("version: v1\nvgpus: [{name: a, type: b, weight: x}]", "vgpus[0].weight: Expected"),
        ("version: v1\nvgpus: [{name: a, type: b, cap: all}]", "vgpus[0].cap: Expected"),
        ("version: v1\nvgpus: [{name: a, type: b, active: 3}]", "vgpus[0].active: Expected"),
        ("version: v1\nvgpus: [{name: 7, type: b}]", "vgpus[0].name: Expected `str`"),
        (
            "version: v1\nvgpus: [{name: a, type: b}, {name: a, type: c}]",
            "vgpus: the name 'a' is there 2 times",
        ),
        (
            "version: v1\nvgpus: [{name: a, type: b, uuid: AB}, {name: c, type: c, uuid: ab}]",
            "vgpus: the uuid 'ab' is there 2 times",
        ),
        ("version: v1\nvgpus: []\nversion: v1", "line 3, column 1: the key 'version' is there"),
        ("version: [", "line 1, column 11: "),
        ("version: \x07", "unacceptable character"),
        ("version: &a [*a]\nvgpus: []", "version: Expected"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
        ("? [1]\n: 2", "found unhashable key"),
        ("{", "line 1, column 2: "),
        ('{"version": "v1", "version": "v1"}', "the key 'version' is there 2 times"),
        ('{"version": %s}' % ("9" * 5000), "a number with too many digits"),
        ("version: %s" % ("9" * 5000), "line 1, column 10: cannot be read as int"),
        ("a:\n  b: 2001-99-99", "line 2, column 6: cannot be read as timestamp"),
        ("a: !!int '-'", "line 1, column 4: cannot be read as int"),
        ("a: !!float ''", "cannot be read as float"),
        ("a: !!bool maybe", "cannot be read as bool"),
        ("a: !!timestamp now", "cannot be read as timestamp"),
        ('{"a":' * 10_000, "too many levels"),
        ("[" * 10_000, "too many levels"),
    ],
)
def test_nonsense(text: str, message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_declaration(text)
    assert message in str(caught.value)
