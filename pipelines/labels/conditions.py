"""What a checked condition means: evaluation over columns of measurements.

Values are float64 columns. Whatever is not known (a missing measurement, 0 / 0, the logarithm of
a negative number) is nan, and nan makes everything that uses it unknown, even where the other
side of an ``or`` is true: a rule says nothing about a particle that it could not measure.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ARITHMETIC: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
COMPARISONS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


def _smallest(*values: Any) -> Any:
    return np.minimum.reduce(np.broadcast_arrays(*values))


def _largest(*values: Any) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*values))


#: Name -> (function, fewest arguments, most arguments).
FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int, int]] = {
    "abs": (np.abs, 1, 1),
    "sqrt": (np.sqrt, 1, 1),
    "exp": (np.exp, 1, 1),
    "log": (np.log, 1, 1),
    "log10": (np.log10, 1, 1),
    "min": (_smallest, 2, 20),
    "max": (_largest, 2, 20),
    "clip": (np.clip, 3, 3),
}
#: Name -> number of arguments. One value per mosaic, over all its particles in question.
STATISTICS: Mapping[str, int] = {"quantile": 2, "median": 1}


@dataclass(frozen=True)
class Condition:
    """A checked condition over named columns.

    ``columns`` are the columns it reads. ``n_statistics`` counts its per-mosaic values, such as
    ``quantile(area_px, 0.9)``, which are worked out by `statistics` before `holds`.
    """

    text: str
    columns: tuple[str, ...]
    _body: ast.expr
    _statistics: tuple[ast.Call, ...]

    @property
    def n_statistics(self) -> int:
        """How many per-mosaic values the condition needs."""
        return len(self._statistics)

    def statistics(self, columns: Mapping[str, Floats]) -> Floats:
        """Work out the per-mosaic values from the columns of one mosaic's particles."""
        values = []
        for call in self._statistics:
            with np.errstate(all="ignore"):
                of = np.atleast_1d(_evaluate(call.args[0], columns, {}))
            known = of[~np.isnan(of)]
            share = ast.literal_eval(call.args[1]) if len(call.args) > 1 else 0.5
            values.append(np.quantile(known, share) if known.size else np.nan)
        return np.array(values, dtype=np.float64)

    def holds(
        self, columns: Mapping[str, Floats], statistics: Sequence[Floats] = ()
    ) -> NDArray[np.bool_]:
        """Tell for which particles the condition is known to hold.

        Parameters
        ----------
        columns : mapping of str to (N,) ndarray
            At least `columns`, and one in any case; booleans as 0 and 1, nan where unknown.
        statistics : n_statistics ndarrays of shape (N,)
            Values of `statistics`, of each particle's own mosaic.

        Returns
        -------
        holds : (N,) ndarray of bool
            False where it does not hold or is not known.
        """
        known = {_place(call): statistics[i] for i, call in enumerate(self._statistics)}
        n_rows = len(next(iter(columns.values())))
        with np.errstate(all="ignore"):
            held = _evaluate(self._body, columns, known)
        return np.broadcast_to(np.equal(held, 1), (n_rows,)).copy()


def _evaluate(node: ast.expr, columns: Mapping[str, Floats], statistics: Mapping[Any, Any]) -> Any:
    """Evaluate a checked node: conditions as 1 and 0, unknown as nan."""

    def value(inner: ast.expr) -> Any:
        return _evaluate(inner, columns, statistics)

    match node:
        case ast.Constant():
            return np.float64(node.value)  # type: ignore[arg-type]
        case ast.Name():
            return columns[node.id]
        case ast.BoolOp():
            # Minimum and maximum hand nan on, whichever side it stands on.
            join = _smallest if isinstance(node.op, ast.And) else _largest
            return join(*map(value, node.values))
        case ast.UnaryOp():
            operand = value(node.operand)
            if isinstance(node.op, ast.Not):
                return 1 - operand
            return -operand if isinstance(node.op, ast.USub) else operand
        case ast.BinOp():
            return _finite(ARITHMETIC[type(node.op)](value(node.left), value(node.right)))
        case ast.Compare():
            sides = [value(side) for side in (node.left, *node.comparators)]
            pairs = zip(node.ops, sides, sides[1:], strict=False)
            return _smallest(*(_compare(op, left, right) for op, left, right in pairs))
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            return _finite(FUNCTIONS[name][0](*map(value, node.args)))
        case ast.Call():
            return statistics[_place(node)]
    raise AssertionError(f"unchecked node {ast.dump(node)}")


def _compare(op: ast.cmpop, left: Any, right: Any) -> Any:
    unknown = np.isnan(left) | np.isnan(right)
    return np.where(unknown, np.nan, COMPARISONS[type(op)](left, right))


def _finite(value: Any) -> Any:
    return np.where(np.isfinite(value), value, np.nan)


def _place(node: ast.expr) -> tuple[int, int | None]:
    """Name a node by where it stands: unlike its identity, this survives a copy."""
    return node.col_offset, node.end_col_offset
