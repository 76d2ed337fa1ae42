"""The documents say what is there: generated pages are current, links and names resolve."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.style import metrics_doc, registers_doc
from tests.style.tree import PACKAGES, ROOT, files, modules, name, syntax, text

DOCUMENTS = [path for path in files() if path.suffix == ".md"]
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<title>.*?) *$", re.M)
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
_CODE = re.compile(r"`(?P<code>[^`\n]+)`")
_PATH = re.compile(rf"(?:{'|'.join(PACKAGES)}|tests|docs)/[\w./-]*")
_MEMBER = re.compile(r"(?P<owner>[A-Z]\w+)\.(?P<member>[a-z_]\w*)(?:\(\))?")
_TARGET = re.compile(r"make (?P<target>[a-z]+)")
_LONGEST_ADR = 60
"""Lines: a page."""


def test_registers_page_is_current() -> None:
    assert registers_doc.page() == text(registers_doc.PAGE), (
        "docs/registers.md is old: run `python -m tests.style.registers_doc`"
    )


def test_metrics_page_is_current() -> None:
    assert metrics_doc.page() == text(metrics_doc.PAGE), (
        "docs/metrics.md is old: run `python -m tests.style.metrics_doc`"
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_resolve(path: Path) -> None:
    for match in _LINK.finditer(_FENCE.sub("", text(path))):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), f"{name(path)} links to {target}"
        if anchor:
            assert anchor in _anchors(page), f"{name(path)} links to #{anchor} of {name(page)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_files_named_exist(path: Path) -> None:
    for code in _codes(path):
        if _PATH.fullmatch(code):
            assert (ROOT / code).exists(), f"{name(path)} names {code}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_members_named_exist(path: Path) -> None:
    for code in _codes(path):
        match = _MEMBER.fullmatch(code)
        if match and match["owner"] in _members():
            members = _members()[match["owner"]]
            assert match["member"] in members, f"{name(path)} names {code}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_make_targets_named_exist(path: Path) -> None:
    rules = set(re.findall(r"^([a-z]+):", text(ROOT / "Makefile"), re.M))
    for code in _codes(path):
        match = _TARGET.match(code)
        if match:
            assert match["target"] in rules, f"{name(path)} names {code}"


def test_decisions_are_numbered_and_short() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    for number, page in enumerate(pages, 1):
        assert page.name.startswith(f"{number:04}-"), f"{page.name} is number {number}"
        content = text(page)
        assert content.startswith(f"# {number}. ")
        assert all(f"**{part}.**" in content for part in ("Context", "Decision", "Consequences"))
        assert content.count("\n") <= _LONGEST_ADR, f"{page.name} is more than a page"


def _codes(path: Path) -> Iterator[str]:
    """What stands between back quotes."""
    return (match["code"] for match in _CODE.finditer(_FENCE.sub("", text(path))))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from titles."""
    return {
        re.sub(r"[^\w\- ]", "", match["title"].lower()).replace(" ", "-")
        for match in _HEADING.finditer(text(page))
    }


@cache
def _members() -> dict[str, set[str]]:
    """Class -> methods and attributes, those of its bases in the project included."""
    members: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for path in modules():
        if name(path).split("/")[0] not in PACKAGES:
            continue
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.ClassDef):
                members.setdefault(node.name, set()).update(_names(node))
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
    for owner, parents in bases.items():
        for parent in parents:
            members[owner] |= members.get(parent, set())
    return members


def _names(node: ast.ClassDef) -> Iterator[str]:
    for item in ast.walk(node):
        match item:
            case ast.FunctionDef():
                yield item.name
            case ast.Attribute(value=ast.Name(id="self")):
                yield item.attr
            case ast.AnnAssign(target=ast.Name()) if isinstance(item.target, ast.Name):
                yield item.target.id
