"""Which faults are put into C, and which are not."""

from __future__ import annotations

import pytest

from tests.mutation.c_faults import c_faults


def _body(statement: str) -> set[str]:
    """What the statement of a function becomes."""
    source = f"int f(void)\n{{\n{statement}\n}}\n"
    faults = c_faults("a.c", source.encode())
    assert all(fault.within == "f" and fault.line == 3 for fault in faults)
    return {fault.put_into(source.encode()).decode().splitlines()[2] for fault in faults}


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("return a < b;", {"return a <= b;", "return a >= b;"}),
        ("return a && b;", {"return a || b;"}),
        ("return a + b;", {"return a - b;"}),
        ("return a & ~b;", {"return a | ~b;", "return a & b;"}),
        ("return !a;", {"return a;"}),
        ("return -a;", {"return a;"}),
        ("return 0x10u;", {"return 0x11u;", "return 0xfu;"}),
        ("a = b;", {"(void)0;"}),
        ("a[b] = c;", {"(void)0;"}),
        ("*a = b;", {"(void)0;"}),
        ("f(a);", {"(void)0;"}),
        ("a += b;", {"(void)0;", "a -= b;"}),
        ("break;", {";"}),
        ("uint64_t a[4] = {b};", {"uint64_t a[3] = {b};"}),
        ("double a[4];", {"double a[3];"}),
        ("struct a b[4];", {"struct a b[3];"}),
        ("return a[4];", {"return a[5];", "return a[3];"}),
        (
            "if (a) return b;",
            {"if (!(a)) return b;", "if (0 && (a)) return b;"},
        ),
        ("if (a) f(b);", {"if (!(a)) f(b);", "if (a) (void)0;"}),
        ("for (a = b; a < c; a++) f(a);", {
            "for (a = b; a <= c; a++) f(a);",
            "for (a = b; a >= c; a++) f(a);",
            "for (a = b; a < c; a--) f(a);",
            "for (a = b; a < c; a++) (void)0;",
        }),
    ],
)  # fmt: skip
def test_a_statement_and_what_it_may_become(statement: str, changed: set[str]) -> None:
    assert _body(statement) == changed


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "uint64_t *a;",
            "struct a *b = c;",
            "bool a = f(b);",
            "return *a;",
            "return (const uint8_t *)a;",
        ),
        *("/* a < b */", "return 1.04045f;", "return 2e-08;", "return 0x1p-3f;"),
    ],
)
def test_declarations_and_pointers_are_left_alone(statement: str) -> None:
    assert _body(statement) == set()


def test_a_header_of_constants() -> None:
    source = b"#include <a.h>\n#define A (1 << 7)\nenum { B = 3, C };\n"
    texts = {f.put_into(source).decode() for f in c_faults("a.h", source)}
    head = "#include <a.h>\n"
    assert texts == {
        *(f"{head}#define A ({expression})\nenum {{ B = 3, C }};\n"
          for expression in ("0 << 7", "2 << 7", "1 << 6", "1 << 8", "1 >> 7")),
        *(f"{head}#define A (1 << 7)\nenum {{ B = {number}, C }};\n" for number in (2, 4)),
    }  # fmt: skip
