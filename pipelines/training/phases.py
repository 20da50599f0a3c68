"""The stretches of a training, and the epochs that they consist of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Phase:
    """A stretch of training with an optimiser and a learning-rate schedule of its own.

    Attributes
    ----------
    n_epochs : int
        Passes over the samples of ``part``.
    part : {"noisy", "trusted", "both"}
        Which samples are learnt from.
    afresh : bool
        Whether the networks go back to their first weights before it.
    rate : float
        Factor on the peak learning rate.
    """

    n_epochs: int
    part: Literal["noisy", "trusted", "both"] = "noisy"
    afresh: bool = False
    rate: float = 1.0


@dataclass(frozen=True)
class Epoch:
    """An epoch's place in a training: ``number`` of all, ``index`` within its phase."""

    number: int
    index: int
    phase_number: int
    phase: Phase


def plan_epochs(phases: Sequence[Phase]) -> list[Epoch]:
    """List the epochs of some phases, one after another.

    Examples
    --------
    >>> [(e.number, e.phase_number, e.index) for e in plan_epochs([Phase(1), Phase(2)])]
    [(0, 0, 0), (1, 1, 0), (2, 1, 1)]
    """
    places = [(n, i, phase) for n, phase in enumerate(phases) for i in range(phase.n_epochs)]
    return [Epoch(number, i, n, phase) for number, (n, i, phase) in enumerate(places)]
