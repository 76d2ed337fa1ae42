"""Which faults are put into Python, and which are not."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.code import ROOT
from tests.mutation.python_faults import python_faults


def _texts(source: str) -> set[str]:
    """The whole module, once for each fault."""
    faults = python_faults("a.py", source)
    return {fault.put_into(source.encode()).decode() for fault in faults}


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a <= b < c", {"x = (a < b < c)", "x = (a <= b <= c)"}),
        ("x = a == b", {"x = (a != b)"}),
        ("x = a in b", {"x = (a not in b)"}),
        ("x = a is None", {"x = (a is not None)"}),
        ("x = a and b", {"x = (a or b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = a + b", {"x = (a - b)"}),
        ("x = a << b", {"x = (a >> b)"}),
        ("x = a & b", {"x = (a | b)"}),
        ("x = 1 << 0", {"x = 2 << 0", "x = 0 << 0", "x = 1 << 1"}),
        ("x = 5", {"x = 6", "x = 4"}),
        ("x = 0", {"x = 1"}),
        ("x = True", {"x = False"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x += a", {"pass", "x -= a"}),
        ("x.y = a", {"pass"}),
        ("x[a] = b", {"pass"}),
        ("del x[a]", {"pass"}),
        ("call(a)", {"pass"}),
        ("x = [a for a in b if c]", {"x = [a for a in b if not (c)]"}),
    ],
)
def test_a_line_and_what_it_may_become(line: str, changed: set[str]) -> None:
    assert _texts(line) == changed


def test_a_check_is_left_out_turned_round_and_moved_by_one() -> None:
    assert _texts("def f(a):\n    if a >= 7:\n        raise ValueError(a + 1)\n") == {
        f"def f(a):\n    if {test}:\n        {does}\n"
        for test, does in [
            ("False", "raise ValueError(a + 1)"),
            ("(a > 7)", "raise ValueError(a + 1)"),
            ("a >= 8", "raise ValueError(a + 1)"),
            ("a >= 6", "raise ValueError(a + 1)"),
            ("a >= 7", "pass"),
        ]
    }


@pytest.mark.parametrize(
    "source",
    [
        '"""Text."""',
        "x: int",
        "x: Literal[3]",
        'x = f"{a + 1}"',
        '_LOG.warning("%d", a + 1)',
        "assert a < b",
        "class A(Enum):\n    B = 1",
        "def __repr__(self):\n    return a + 1",
        "if TYPE_CHECKING:\n    x = 1",
        "x = 5_000_000",
        "x = zip(a, b, strict=True)",
        "raise_ = field(repr=False)",
    ],
)
def test_what_no_test_should_look_at_is_left_alone(source: str) -> None:
    assert _texts(source) == set()


def test_every_fault_of_a_real_module_can_be_compiled() -> None:
    source = (ROOT / "mmio_trap/irq.py").read_text(encoding="utf-8")
    faults = python_faults("mmio_trap/irq.py", source)
    assert len(faults) > 60
    for fault in faults:
        changed = fault.put_into(source.encode())
        assert changed != source.encode()
        ast.parse(changed)


def test_a_fault_knows_where_it_is() -> None:
    source = (
        "class A:\n    def b(self):\n        x = (\n            1,\n            y < z,\n        )\n"
    )
    fault = next(each for each in python_faults("a.py", source) if "<" in each.was)
    assert (fault.within, fault.line, fault.first, fault.last) == ("A.b", 5, 3, 6)
    assert str(fault) == "a.py:5 in A.b: y < z  ->  (y <= z)"
