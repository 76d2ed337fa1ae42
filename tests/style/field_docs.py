"""Docstrings of fields: the string after an attribute, which Python itself throws away."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from tests.style.tree import syntax


def class_doc(owner: type) -> str:
    """The class's own docstring on one line; empty without."""
    return one_line(vars(owner).get("__doc__") or "")


def field_docs(owner: type) -> dict[str, str]:
    """Attribute -> its docstring on one line, those of the bases included."""
    found: dict[str, str] = {}
    for each in reversed(owner.__mro__):
        found.update(_module_docs(each.__module__).get(each.__name__, {}))
    return found


@cache
def _module_docs(module: str) -> dict[str, dict[str, str]]:
    """Class -> attribute -> docstring, in one module."""
    source = getattr(importlib.import_module(module), "__file__", None)
    if source is None:  # of the interpreter itself
        return {}
    nodes = ast.walk(syntax(Path(source))) if source.endswith(".py") else iter(())
    classes = (node for node in nodes if isinstance(node, ast.ClassDef))
    return {node.name: dict(_documented(node)) for node in classes}


def _documented(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for before, after in pairwise(node.body):
        name = _assigned(before)
        if name and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield name, one_line(str(after.value.value))


def _assigned(node: ast.stmt) -> str:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""


def one_line(text: str) -> str:
    """``text`` without line breaks, with the back quotes of Markdown."""
    return " ".join(text.replace("``", "`").split())
