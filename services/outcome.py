"""What a verb gives back, and the exit status it means."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DONE = 0
OURS = 1
CALLERS_MISTAKE = 2
SOME_QUARANTINED = 3
LOCKED = 75
INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """The result of a verb: a past-tense word, and values worth a script's while.

    ``n_quarantined`` counts what could not be processed, in this run or left from earlier ones.
    ``screen`` is text for people, shown above the line. Values that are lists or mappings are
    for JSON alone. ``is_failure`` says that what was looked at is not as it should be.
    """

    word: str
    values: Mapping[str, Any] = field(default_factory=dict)
    n_quarantined: int = 0
    screen: str = ""
    is_failure: bool = False

    @property
    def status(self) -> int:
        """The exit status."""
        if self.is_failure:
            return OURS
        return SOME_QUARANTINED if self.n_quarantined else DONE

    def text(self) -> str:
        """Return the screen, if there is one, and the line of key=value."""
        return "\n".join([*self.screen.splitlines(), self.line()])

    def line(self) -> str:
        """Return one line of key=value."""
        values = {k: v for k, v in self.values.items() if not isinstance(v, list | Mapping)}
        if self.n_quarantined:
            values["quarantined"] = self.n_quarantined
        return " ".join([self.word, *(f"{key}={_text(value)}" for key, value in values.items())])

    def json(self) -> str:
        """Return the same as one JSON object."""
        values = {key: _plain(value) for key, value in self.values.items()}
        return json.dumps(
            {"done": self.word, **values, "quarantined": self.n_quarantined}, default=str
        )


def _plain(value: Any) -> Any:
    """Return a value that JSON has: numpy's numbers as Python's, nan and infinity as null."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return json.dumps(text) if not text or set(text) & set(' \t\n"=') else text
