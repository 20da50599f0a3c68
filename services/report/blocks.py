"""What a section of the report is made of; the template knows how to show each kind."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.report.embedding import Drawing
from services.report.images import Gallery, Picture

#: Tables of more rows begin folded; rows beyond the second number are left out.
FOLD_FROM_N, ROWS_N = 12, 500
#: A number and the ends of its 95 % interval.
Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """Text to copy: commands or settings."""

    kind: ClassVar[str] = "code"
    caption: str
    text: str
    is_folded: bool = False


@dataclass(frozen=True)
class Table:
    """A table. ``n_text_columns`` at the left hold words, the others numbers."""

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_text_columns: int = 1
    is_folded: bool = False


Block = Text | Code | Table | Drawing | Picture | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading that can be linked to."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Tile:
    """A headline number; ``more`` is its interval, or what it is of."""

    title: str
    value: str
    more: str = ""


def percent(share: float | None) -> str:
    """Write a share for people.

    Examples
    --------
    >>> percent(0.97541), percent(1.0), percent(None), percent(float("nan"))
    ('97.5 %', '100.0 %', '-', '-')
    """
    return "-" if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def percent_between(low: float, high: float) -> str:
    """Write the ends of an interval of shares.

    Examples
    --------
    >>> percent_between(0.966, 0.983)
    '96.6 to 98.3 %'
    """
    return "-" if math.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f} %"


def score(value: float | None) -> str:
    """Write a score between 0 and 1.

    Examples
    --------
    >>> score(0.98765), score(1.0), score(float("nan"))
    ('0.988', '1.000', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def number(value: float | None, unit: str = "") -> str:
    """Write a number to three digits, with its unit.

    Examples
    --------
    >>> number(61.27, "nm"), number(None), number(12345)
    ('61.3 nm', '-', '12345')
    """
    if value is None or math.isnan(value):
        return "-"
    text = str(value) if isinstance(value, int) else f"{value:.3g}"
    return f"{text} {unit}".strip()


def count(n: int, noun: str) -> str:
    """Count things.

    Examples
    --------
    >>> count(1, "mosaic"), count(1200, "mosaic")
    ('1 mosaic', '1,200 mosaics')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
