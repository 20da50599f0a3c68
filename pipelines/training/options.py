"""Numbers that a method of learning can be told: their defaults, and what they may be."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """A number of a method's own.

    Attributes
    ----------
    default : float
        What it is if nobody says otherwise.
    rule : str
        What it must be, in words that follow "must be".
    holds : callable
        Whether a finite number keeps the rule.
    """

    default: float
    rule: str
    holds: Callable[[float], bool]

    def check(self, name: str, value: float) -> None:
        """Refuse a number that breaks the rule.

        Raises
        ------
        ValueError
            Naming the option, the rule and the value.
        """
        if not math.isfinite(value) or not self.holds(value):
            raise ValueError(f"{name} must be {self.rule}, got {value:g}")


def share(default: float) -> Option:
    """Return an option that is a part of a whole."""
    return Option(default, "from 0 to 1", lambda value: 0 <= value <= 1)


def weight(default: float) -> Option:
    """Return an option that a term is multiplied by, or a count that may be nothing."""
    return Option(default, "at least 0", lambda value: value >= 0)


def positive(default: float) -> Option:
    """Return an option that something is divided by, or an exponent."""
    return Option(default, "above 0", lambda value: value > 0)


def percentile(default: float) -> Option:
    """Return an option that is a percentile."""
    return Option(default, "from 0 to 100", lambda value: 0 <= value <= 100)


def switch(default: float) -> Option:
    """Return an option that is on or off."""
    return Option(default, "0 or 1", lambda value: value in (0, 1))


def log_of_zero(default: float) -> Option:
    """Return an option that stands for the logarithm of 0."""
    return Option(default, "below 0", lambda value: value < 0)


def error_rate(default: float = -1) -> Option:
    """Return an option that is the share of wrong labels, or -1 where it is estimated."""
    rule = "at least 0 and below 1, or -1 to estimate it"
    return Option(default, rule, lambda value: value == -1 or 0 <= value < 1)
