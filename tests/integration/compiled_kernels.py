"""Tests of compiled kernels need a compiler: there is one in CI, and may be none elsewhere."""

from __future__ import annotations

import os

import pytest

from mediator.softgpu.eu.dispatch.host_units import make_pool, shared_translations
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.translator.translations import KernelCode, Translations
from tests.unit.mediator.eu.small_programs import LANES, counting_program


def the_compiler() -> Translations:
    """What compiles kernels; the test is skipped where nothing does, and fails in CI."""
    translations = shared_translations()
    if make_pool() is None or translations is None:
        assert not os.environ.get("CI"), "CI has a compiler for kernels"
        pytest.skip("no kernel is compiled on this host, and interpreted ones are too slow")
    return translations


def compile_counting() -> None:
    """Have the kernel of `small_programs.Counting` as machine code before anything is measured."""
    code = KernelCode.of(Program.of(counting_program()), LANES)
    assert the_compiler().wait(code, 240) is not None
