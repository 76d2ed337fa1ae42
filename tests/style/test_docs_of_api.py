"""The page of the control API is current."""

from __future__ import annotations

from tests.style import api_doc
from vgpu_ctl.api.methods import METHODS
from vgpu_ctl.client import Client


def test_page_is_current() -> None:
    assert api_doc.page() == api_doc.PAGE.read_text(encoding="utf-8"), (
        "docs/api.md is old: run `python -m tests.style.api_doc`"
    )


def test_client_has_every_method() -> None:
    names = {"vgpus" if name == "list" else name for name in METHODS}
    assert {name for name in names if not callable(getattr(Client, name, None))} == set()
