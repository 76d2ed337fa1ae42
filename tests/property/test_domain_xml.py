"""What adding and removing vGPUs leaves as it was, for any domain."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from qemu_hooks.commandline import devices
from qemu_hooks.domain_facts import DomainVgpu
from qemu_hooks.domain_xml import add, parsed, prepare, remove
from tests.unit.qemu_hooks.samples import GUARD, at, commandline, domain, vgpus_in

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
_NAMES = st.builds(
    str.__add__,
    st.sampled_from(["", "port-", "spare-", "gpu-"]),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True) | st.sampled_from("a01"),
)
_SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


def _escaped(text: str) -> str:
    return re.sub(r"[<>&'\"]", "", text)


_FOREIGN = st.builds(lambda text: f"<f:a xmlns:f='urn:f' f:b='{_escaped(text)}'/>", _TEXT)
_COMMENTS = st.builds(lambda text: f"<!--{_escaped(text).replace('-', '')}-->", _TEXT)
_WORDS = st.lists(
    st.sampled_from(["-device", "edu", "edu,addr=0x1d", "-S", "-name", "a=b,,c", "{}", "-"])
)
_DOMAINS = st.builds(
    lambda machine, parts, words, slots: domain(
        _SHARED + "".join(parts) + (commandline(*words) if words else ""),
        "".join(at(slot) for slot in slots),
        machine=machine,
    ),
    st.sampled_from(["q35", "pc-q35-11.1", "pc", "pc-i440fx-11.1"]),
    st.lists(_FOREIGN | _COMMENTS, max_size=4),
    _WORDS,
    st.sets(st.integers(1, 0x1E), max_size=20),
)


def _canonical(xml: str) -> str:
    text: str = etree.canonicalize(xml, strip_text=True, with_comments=True)
    return text


def _vgpu(name: str) -> DomainVgpu:
    return DomainVgpu(name, f"uuid-{name}", f"/run/{name}.sock")


@settings(max_examples=50)
@given(_DOMAINS, st.lists(_NAMES, min_size=1, max_size=3, unique=True), st.booleans())
def test_removing_all_takes_nothing_else(xml: str, names: list[str], backwards: bool) -> None:
    edited = xml
    for name in names:
        edited = add(edited, _vgpu(name), GUARD).xml
        assert add(edited, _vgpu(name), GUARD).changes == []
    assert vgpus_in(edited) == [_vgpu(name) for name in names]
    for name in reversed(names) if backwards else names:
        edited = remove(edited, name).xml
        assert name not in [vgpu.name for vgpu in vgpus_in(edited)]
        assert remove(edited, name).changes == []
    assert _canonical(edited) == _canonical(xml)


@settings(max_examples=50)
@given(_DOMAINS, st.lists(_NAMES, min_size=1, max_size=3, unique=True))
def test_no_two_devices_have_one_place_or_id(xml: str, names: list[str]) -> None:
    edited = xml
    for name in names:
        edited = prepare(add(edited, _vgpu(name), GUARD).xml, 1).xml
    root = parsed(edited)
    ours = [option.object for option in devices(root) if option.object.get("id")]
    assert len({device["id"] for device in ours}) == len(ours)
    places = [(device["bus"], device["addr"]) for device in ours]
    assert len(set(places)) == len(places)
    known = {int(address.get("slot"), 0) for address in root.iterfind("devices/*/address")}
    slots = {int(addr, 0) for bus, addr in places if bus in ("pcie.0", "pci.0")}
    assert not slots & known


@settings(max_examples=50)
@given(_DOMAINS, st.lists(_NAMES, min_size=2, max_size=4, unique=True))
def test_a_new_name_is_all_that_changes(xml: str, names: list[str]) -> None:
    """As if the vGPU had had it from the beginning."""
    *others, before, after = names
    made = xml
    for name in (*others, before):
        made = add(made, _vgpu(name), GUARD).xml
    renamed = _vgpu(after)._replace(uuid=_vgpu(before).uuid)
    edited = add(made, renamed, GUARD)
    assert vgpus_in(edited.xml) == [*map(_vgpu, others), renamed]
    assert edited.changes[0] == f"{before} is {after} now"
    assert _places(edited.xml) == _places(made)
    assert add(edited.xml, renamed, GUARD).changes == []


def _places(xml: str) -> list[tuple[str, str, str]]:
    """Of what is on a root bus."""
    found = (option.object for option in devices(parsed(xml)) if option.object.get("id"))
    return [
        (each["driver"], each["bus"], each["addr"])
        for each in found
        if each["bus"] in ("pcie.0", "pci.0")
    ]
