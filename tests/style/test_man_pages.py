"""The manual pages are current, and correct for those who format them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.style import man_pages
from tests.style.roff import example, item, paragraphs, plain, prose
from tests.style.tree import ROOT

PAGES = man_pages.pages()
_FORMATTERS = {
    "man": ["man", "--warnings", "--local-file"],
    "groff": ["groff", "-man", "-Tutf8", "-ww"],
}


def test_pages_are_current() -> None:
    assert sorted(PAGES) == sorted((ROOT / "docs" / "man").iterdir())
    old = [page.name for page, content in PAGES.items() if page.read_text() != content]
    assert old == [], "docs/man is old: run `python -m tests.style.man_pages`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize("program", _FORMATTERS)
def test_a_formatter_has_nothing_to_say(program: str, page: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [*_FORMATTERS[program], str(page)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert f"({page.suffix[1:]})" in done.stdout


def test_text_cannot_be_a_command() -> None:
    assert plain(".TH") == r"\&.TH"
    assert plain(r"a\b") == r"a\eb"
    assert paragraphs("'quoted' at the start") == ".PP\n\\&'quoted' at the start\n"
    assert item("t", ".x") == ".TP\nt\n\\&.x\n"
    assert ".x" not in example([".x"]).splitlines()


def test_markup() -> None:
    assert prose("`-o x` _FILE_ of a_b_c") == r"\fB\%\-o \%x\fR \fI\%FILE\fR of a_b_c"
    assert prose("é") == r"\[u00E9]"
