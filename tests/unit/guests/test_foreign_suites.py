"""What is made of the output of pyopencl's tests, piglit and clpeak, and of their lists."""

from pathlib import Path

import pytest

from tests.eu_corpus import clpeak_run, piglit_run, pyopencl_run
from tests.eu_corpus.patience import LineReader

_LIST = b"""<?xml version='1.0' encoding='utf-8'?>
<PiglitTestList count="2" name="cl">
<Test type="cl" name="api@clcreatebuffer"><option name="command"
 value="['cl-api-create-buffer', '-x']" /></Test>
<Test type="cl_prog" name="program@execute@sizeof"><option name="filename"
 value="'tests/cl/program/execute/sizeof.cl'" /></Test>
</PiglitTestList>"""


def test_piglits_list_names_programs_and_files() -> None:
    api, program = piglit_run.read_list(_LIST, Path("/p"))
    assert api == piglit_run.Test("api/clcreatebuffer", ("/p/bin/cl-api-create-buffer", "-x"))
    assert program.name == "program/execute/sizeof"
    assert program.command == ("/p/bin/cl-program-tester", "/p/tests/cl/program/execute/sizeof.cl")
    assert piglit_run.chosen([api, program], ["size"]) == [program]
    assert piglit_run.chosen([api, program], []) == [api, program]


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, 'PIGLIT: {"subtest": {"a" : "pass"}}\nPIGLIT: {"result": "pass" }\n', "pass"),
        (1, 'PIGLIT: {"subtest": {"a" : "fail"}}\nPIGLIT: {"result": "fail" }\n', "fail"),
        (0, 'why\nPIGLIT: {"result": "skip" }\n', "skip"),
        (0, 'PIGLIT: {"result": "crash" }\n', "fail"),
        (0, "nothing of use\n", "fail"),
        (-11, 'PIGLIT: {"result": "pass" }\n', "lost"),
        (None, "", "lost"),
    ],
)
def test_piglits_last_report_decides(status: int | None, output: str, expected: str) -> None:
    assert piglit_run.verdict(status, output)[0] == expected


def test_piglits_failed_parts_are_named() -> None:
    output = 'PIGLIT: {"subtest": {"a" : "pass"}}\nPIGLIT: {"subtest": {"b" : "fail"}}\n'
    result, detail = piglit_run.verdict(1, output + 'oh\nPIGLIT: {"result": "fail" }\n')
    assert (result, detail) == ("fail", "1 fail, 1 pass (b): oh")


_PEAK = """
Platform: P
  Device: D
    Compute units   : 24
    Clock frequency : 0 MHz

    Single-precision compute (GFLOPS)
      float   : 1.25
      float2  : 2
    Kernel launch latency : 904.64 us
"""


def test_clpeaks_figures_are_told_without_the_devices_facts() -> None:
    told = "float 1.25, float2 2, Kernel launch latency 904.64 us"
    assert clpeak_run.verdict(0, _PEAK) == ("pass", told)
    assert clpeak_run.verdict(None, _PEAK)[0] == "lost"
    assert clpeak_run.verdict(-6, _PEAK)[0] == "lost"
    assert clpeak_run.verdict(0, "    No half precision support! Skipped\n")[0] == "skip"
    assert clpeak_run.verdict(0, "no platforms found\n")[0] == "fail"


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("t/test_array.py::test_sum[<context factory for <pyopencl.Device 'A-B' on 'C'>>]", ""),
        ("test_array.py::test_sum[ctx_factory0-float32]", "[float32]"),
        ("test_array.py::test_sum", ""),
    ],
)
def test_names_of_tests_are_without_their_device(node: str, name: str) -> None:
    assert pyopencl_run.short_name(node) == f"test_array.py::test_sum{name}"


def test_a_program_is_ended_when_it_says_nothing() -> None:
    reader = LineReader(["sh", "-c", "read word; echo $word; exec sleep 60"], "here\n")
    assert list(reader.lines(0.3)) == ["here"]
    assert reader.failed
    assert reader.ending() == "silent for too long: here"


def test_a_programs_last_words_are_kept() -> None:
    reader = LineReader(["sh", "-c", "echo '{}'; echo oh; exit 3"])
    assert list(reader.lines(60.0)) == ["{}", "oh"]
    assert reader.failed
    assert reader.ending() == "status 3: oh"
