"""Conditions over measurements, written as text: parsed and checked without ever running them."""

import ast
import difflib
import warnings
from collections.abc import Mapping
from typing import Literal

from pipelines.errors import LabelError
from pipelines.labels.conditions import ARITHMETIC, COMPARISONS, FUNCTIONS, STATISTICS, Condition

Kind = Literal["number", "condition"]

#: Longer or deeper than any rule a person would write, and cheap to refuse.
MAX_CHARACTERS = 2000
MAX_DEPTH = 40


def parse_condition(text: str, columns: Mapping[str, Kind], *, where: str) -> Condition:
    """Parse and check a condition such as ``eccentricity < 0.6 and area_nm2 > 2e4``.

    Parameters
    ----------
    text : str
        Comparisons of numbers, joined by ``and``, ``or``, ``not``; ``+ - * / // % **``; functions
        abs, sqrt, exp, log, log10, min, max, clip; ``median(x)`` and ``quantile(x, q)`` over the
        particles of the mosaic.
    columns : mapping of str to "number" or "condition"
        What may be named.
    where : str
        Begins every error: the file and rule.

    Raises
    ------
    LabelError
        Naming the place, the character and what is wrong there.
    """
    if len(text) > MAX_CHARACTERS:
        raise LabelError(f"{where}: an expression has at most {MAX_CHARACTERS} characters")
    # On one line: a line's end would end the expression, and a comment would swallow its rest.
    line = " ".join(text.split("\n")).strip()
    if "#" in line:
        raise LabelError(f"{where}: character {line.index('#') + 1}: not allowed: a comment")
    try:
        with warnings.catch_warnings():
            # "1and" is read as meant; Python's wish for a space is no matter here.
            warnings.simplefilter("ignore")
            body = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise LabelError(
            f"{where}: character {error.offset or 1}: not an expression ({error.msg})"
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise LabelError(f"{where}: not an expression, or nested too deeply") from None
    checker = _Checker(columns, where)
    if checker.kind(body, depth=1) != "condition":
        raise LabelError(f"{where}: an expression must be a condition, got the number {text!r}")
    return Condition(text, tuple(sorted(checker.used)), body, tuple(checker.statistics))


class _Checker:
    """Walks a syntax tree, allowing what is known and nothing else."""

    def __init__(self, columns: Mapping[str, Kind], where: str) -> None:
        self._columns = columns
        self._where = where
        self._in_statistic = False
        self.used: set[str] = set()
        self.statistics: list[ast.Call] = []

    def kind(self, node: ast.expr, depth: int) -> Kind:
        """Check a node and return whether it gives numbers or conditions."""
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested more than {MAX_DEPTH} deep")
        match node:
            case ast.Constant(value=bool()):
                return "condition"
            case ast.Constant(value=int() | float() as value):
                if not abs(value) <= 1e300:
                    raise self._error(node, "a number must be at most 1e300")
                return "number"
            case ast.Name():
                return self._column(node)
            case ast.BoolOp():
                return self._all(node.values, "condition", depth)
            case ast.UnaryOp(op=ast.Not()):
                return self._all([node.operand], "condition", depth)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self._all([node.operand], "number", depth)
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                return self._all([node.left, node.right], "number", depth)
            case ast.Compare() if all(type(op) in COMPARISONS for op in node.ops):
                self._all([node.left, *node.comparators], "number", depth)
                return "condition"
            case ast.Call():
                return self._call(node, depth)
        raise self._error(node, f"not allowed: {_describe(node)}")

    def _column(self, node: ast.Name) -> Kind:
        if node.id not in self._columns:
            known = [*self._columns, *FUNCTIONS, *STATISTICS]
            raise self._error(node, f"unknown column {node.id!r}{_suggestion(node.id, known)}")
        self.used.add(node.id)
        return self._columns[node.id]

    def _call(self, node: ast.Call, depth: int) -> Kind:
        known = [*FUNCTIONS, *STATISTICS]
        if not isinstance(node.func, ast.Name):
            raise self._error(node, f"not allowed: {_describe(node.func)}")
        name = node.func.id
        if name not in known:
            raise self._error(node, f"unknown function {name!r}{_suggestion(name, known)}")
        if node.keywords:
            raise self._error(node, f"{name} takes no named arguments")
        if name in STATISTICS:
            return self._statistic(node, name, depth)
        _, fewest, most = FUNCTIONS[name]
        if not fewest <= len(node.args) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise self._error(node, f"{name} takes {wanted} arguments, got {len(node.args)}")
        return self._all(node.args, "number", depth)

    def _statistic(self, node: ast.Call, name: str, depth: int) -> Kind:
        if self._in_statistic:
            raise self._error(node, f"{name} inside another statistic")
        if len(node.args) != STATISTICS[name]:
            raise self._error(
                node, f"{name} takes {STATISTICS[name]} arguments, got {len(node.args)}"
            )
        for share in node.args[1:]:
            value = share.value if isinstance(share, ast.Constant) else None
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
                raise self._error(share, f"{name} takes a share from 0 to 1, written as a number")
        self._in_statistic = True
        self._all(node.args[:1], "number", depth)
        self._in_statistic = False
        self.statistics.append(node)
        return "number"

    def _all(self, nodes: list[ast.expr], wanted: Kind, depth: int) -> Kind:
        for node in nodes:
            if self.kind(node, depth + 1) != wanted:
                raise self._error(node, f"a {wanted} is needed, got {ast.unparse(node)!r}")
        return wanted

    def _error(self, node: ast.expr, problem: str) -> LabelError:
        return LabelError(f"{self._where}: character {node.col_offset + 1}: {problem}")


def _describe(node: ast.AST) -> str:
    match node:
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
            return "& and |; write 'and' and 'or'"
        case ast.UnaryOp(op=ast.Invert()):
            return "~; write 'not'"
        case ast.Constant():
            return f"the value {node.value!r}"
        case ast.Attribute():
            return f"the attribute .{node.attr}"
    return type(node).__name__.lower()


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
