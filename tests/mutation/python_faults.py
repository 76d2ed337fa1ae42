"""Every fault that can be put into a Python module: behaviour only.

Left alone is what no test should look at: texts (also those of errors and of the log), annotations,
docstrings, `__repr__`, assertions, what only a type checker reads, the values of an `Enum` whose
members are names, and long round numbers, which are sizes and times chosen by hand: one more or
less is as good.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.mutation.fault import Fault

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_NEUTRAL: dict[type[ast.operator], int] = {
    ast.Add: 0,
    ast.Sub: 0,
    ast.LShift: 0,
    ast.RShift: 0,
    ast.Mult: 1,
    ast.FloorDiv: 1,
}
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_LEAVES = (ast.Raise, ast.Return, ast.Continue, ast.Break)
_LOGGERS = {"_LOG", "log", "warnings"}
_LOG_CALLS = {"debug", "info", "warning", "error", "exception", "warn", "critical"}
_UNREAD = {"__repr__", "__str__"}
_UNREAD_NAMES = {"repr", "strict", "exc_info"}
"""Arguments for texts, and `zip`'s assertion."""
_ROUND = 1000
"""Decimal numbers from here on that end in as many zeros are sizes and times."""


def python_faults(file: str, source: str) -> list[Fault]:
    """The faults of the module ``source``, in order of their places."""
    finder = _Finder(file, source)
    finder.body(ast.parse(source).body, "")
    return sorted(finder.faults, key=lambda fault: (fault.start, fault.end, fault.now))


@dataclass
class _Finder:
    file: str
    source: str
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._around = 0, 0
        self._text = self.source.encode()
        self._lines = [0]
        for line in self._text.split(b"\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)

    # Statements

    def body(self, statements: list[ast.stmt], within: str) -> None:
        for statement in statements:
            self._statement(statement, within)

    def _statement(self, node: ast.stmt, within: str) -> None:
        self._around = node.lineno, _last_line(node)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if node.name not in _UNREAD:
                    name = f"{within}.{node.name}" if within else node.name
                    for default in [*node.args.defaults, *node.args.kw_defaults]:
                        self._expression(default, name)
                    self.body(node.body, name)
            case ast.ClassDef():
                if "Enum" not in map(_name, node.bases):
                    self.body(node.body, f"{within}.{node.name}" if within else node.name)
            case ast.Expr(value=value):
                if not isinstance(value, ast.Constant) and not _is_log(value):
                    if isinstance(value, ast.Call | ast.Await):
                        self._put(node, "pass", within)
                    self._expression(value, within)
            case ast.If():
                if _name(node.test) != "TYPE_CHECKING":
                    if isinstance(node.body[-1], _LEAVES):
                        self._put(node.test, "False", within)
                    self._condition(node.test, within)
                    self.body(node.body, within)
                    self.body(node.orelse, within)
            case ast.While():
                self._condition(node.test, within)
                self.body(node.body, within)
            case ast.Return(value=value):
                self._expression(value, within)
            case ast.Raise():
                self._put(node, "pass", within)
            case ast.Assign() | ast.AnnAssign():
                self._assignment(node, within)
            case ast.AugAssign():
                self._put(node, "pass", within)
                if type(node.op) in _OPERATORS:
                    other = ast.AugAssign(node.target, _OPERATORS[type(node.op)](), node.value)
                    self._put(node, ast.unparse(other), within)
                self._expression(node.value, within)
            case ast.Delete():
                self._put(node, "pass", within)
            case ast.Break():
                self._put(node, "continue", within)
            case ast.Continue():
                self._put(node, "break", within)
            case ast.For():
                self._expression(node.iter, within)
                self.body(node.body, within)
                self.body(node.orelse, within)
            case ast.With():
                for item in node.items:
                    self._expression(item.context_expr, within)
                self.body(node.body, within)
            case ast.Try():
                self.body(node.body, within)
                for handler in node.handlers:
                    self.body(handler.body, within)
                self.body(node.orelse, within)
                self.body(node.finalbody, within)
            case ast.Match():
                self._expression(node.subject, within)
                for case in node.cases:
                    if case.guard is not None:
                        self._around = case.guard.lineno, case.guard.lineno
                        self._condition(case.guard, within)
                    self.body(case.body, within)
            case _:
                pass

    def _assignment(self, node: ast.Assign | ast.AnnAssign, within: str) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {name for name in map(_name, targets) if name}
        if node.value is None or names & {"__all__", "__slots__", "__match_args__"}:
            return
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
            self._put(node, "pass", within)
        self._expression(node.value, within)

    # Expressions

    def _condition(self, node: ast.expr, within: str) -> None:
        if not isinstance(node, ast.Compare | ast.UnaryOp | ast.Constant):
            self._put(node, f"not ({ast.unparse(node)})", within)
        self._expression(node, within)

    def _expression(self, node: ast.expr | None, within: str) -> None:
        if node is None or isinstance(node, ast.JoinedStr) or _is_log(node):
            return
        for changed in _changes(node):
            self._put(node, changed, within)
        match node:
            case ast.IfExp():
                self._condition(node.test, within)
                self._expression(node.body, within)
                self._expression(node.orelse, within)
            case ast.Lambda():
                self._expression(node.body, within)
            case ast.Call():
                if not _is_text(node):
                    named = [each.value for each in node.keywords if each.arg not in _UNREAD_NAMES]
                    for part in [node.func, *node.args, *named]:
                        self._expression(part, within)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self._expression(child, within)
                    elif isinstance(child, ast.comprehension):
                        self._expression(child.iter, within)
                        for condition in child.ifs:
                            self._condition(condition, within)

    def _put(self, node: ast.stmt | ast.expr, now: str, within: str) -> None:
        start, end = self._span(node)
        was = self._text[start:end].decode()
        first, last = self._around
        self.faults.append(Fault(self.file, node.lineno, start, end, was, now, within, first, last))

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._lines[node.lineno - 1] + node.col_offset
        return start, self._lines[node.end_lineno - 1] + node.end_col_offset


def _last_line(node: ast.stmt) -> int:
    """The last line of a statement, or of what stands before its body."""
    inner: list[ast.stmt] = getattr(node, "body", [])
    assert node.end_lineno is not None
    return max(node.lineno, inner[0].lineno - 1) if inner else node.end_lineno


def _changes(node: ast.expr) -> Iterator[str]:
    """What ``node`` itself may become."""
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                other = copy.copy(node)
                other.ops = list(node.ops)
                other.ops[index] = _COMPARISONS[type(operator)]()
                yield f"({ast.unparse(other)})"
        case ast.BoolOp():
            opposite = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"({ast.unparse(ast.BoolOp(opposite, node.values))})"
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS and not _is_text(node):
            swapped = ast.BinOp(node.left, _OPERATORS[type(operator)](), node.right)
            if not _changes_nothing(node):
                yield f"({ast.unparse(swapped)})"
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            yield f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)) if not _is_chosen(value):
            yield str(value + 1)
            if value:
                yield str(value - 1)
        case ast.Name() if node.id in _SWAPPED:
            yield _SWAPPED[node.id]
        case _:
            pass


def _changes_nothing(node: ast.BinOp) -> bool:
    """Whether the operator leaves its left side as it is, as in ``1 << 0``; another would too."""
    match node.right:
        case ast.Constant(value=int(value)):
            return value == _NEUTRAL.get(type(node.op), -1)
    return False


def _is_chosen(value: int) -> bool:
    return value >= _ROUND and value % _ROUND == 0


def _is_text(node: ast.expr) -> bool:
    """Whether ``node`` makes a text: joined or formatted strings, `bytes` left out."""
    match node:
        case ast.Call(func=ast.Attribute(attr="format" | "join", value=ast.Constant(value=str()))):
            return True
        case ast.BinOp():
            return any(_is_text(side) for side in (node.left, node.right))
        case ast.JoinedStr():
            return True
        case ast.Constant(value=str()):
            return True
    return False


def _is_log(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=name, value=owner)):
            return name in _LOG_CALLS and _name(owner) in _LOGGERS
    return False


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
    return ""
