"""How wide the objects of an image are: one number, said alike in fitting and in use."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Widths that are tried where none is given, in pixels.
NARROWEST_PX, WIDEST_PX = 6.0, 200.0
_OCTAVES = 0.65
#: What an octave between what is found at one step and at the next takes off the peak, and one
#: between what is tried and what is found. These and the next two do well on simulated scenes
#: that no network was fitted on: one in ten is wrong by more than 0.4 octaves, on supports, which
#: may look like large objects themselves, one in five.
_UNLIKE_NEXT, _UNLIKE_TRIED = 0.5, 0.15
#: Below this width every octave takes off so much more.
_FINE_PX, _FINE_PENALTY = 12.0, 0.2
#: What many objects add; a few do not tell much.
_MANY, _MANY_BONUS = 256, 0.2
#: Widths that differ by less are of the same objects.
_SAME_OCTAVES = 0.4
#: The width of what is not there.
_NOTHING_PX = 24.0

#: Objects narrower than this share of the area's own median are debris, and do not count.
_DEBRIS_SHARE = 0.3


def typical_width_px(areas_px: NDArray[Any]) -> float:
    """Return the median diameter of the discs of equal area, leaving debris out.

    Parameters
    ----------
    areas_px : (n,) array
        Areas of objects, in pixels.

    Returns
    -------
    width : float
        In pixels; nan without an object.

    Examples
    --------
    >>> round(typical_width_px(np.array([79, 79, 79, 1, 1, 1, 1])), 1)
    10.0
    """
    areas = np.sort(areas_px[areas_px > 0]).astype(np.float64)
    if areas.size == 0:
        return float("nan")
    widths = 2 * np.sqrt(areas / np.pi)
    # Half of all foreground lies in objects at least this wide.
    middle = widths[np.searchsorted(np.cumsum(areas), areas.sum() / 2)]
    return float(np.median(widths[widths >= _DEBRIS_SHARE * middle]))


def instance_areas(instances: NDArray[Any]) -> NDArray[np.int64]:
    """Return the area of every object of an instance map."""
    counts = np.unique(instances[instances > 0], return_counts=True)[1]
    return counts.astype(np.int64)


@dataclass(frozen=True)
class Trial:
    """What is found when objects are taken to be ``width_px`` wide.

    Attributes
    ----------
    width_px : float
        The width that was tried.
    found_px : float
        Typical width of what was found; nan if nothing was.
    peak : float
        How deep objects are in their middle, by what the network says, on average over their
        area: near 1 where it sees whole objects.
    n : int
        Objects that were found.
    """

    width_px: float
    found_px: float
    peak: float
    n: int

    @classmethod
    def of(cls, width_px: float, areas_px: NDArray[Any], peaks: NDArray[Any]) -> Self:
        """Condense the areas and peaks of objects."""
        if areas_px.size == 0:
            return cls(width_px, math.nan, 0.0, 0)
        peak = float((areas_px * peaks).sum() / areas_px.sum())
        return cls(width_px, typical_width_px(areas_px), peak, len(areas_px))


def trial_widths_px() -> list[float]:
    """Return the widths to try: half an octave or a little more apart."""
    n = 1 + math.ceil(math.log2(WIDEST_PX / NARROWEST_PX) / _OCTAVES)
    return [float(width) for width in np.geomspace(NARROWEST_PX, WIDEST_PX, n)]


def choose_width_px(trials: Sequence[Trial]) -> float:
    """Choose the width of the typical object.

    Near the right width whole objects are seen, so what is found is as wide as it was taken to
    be, and hardly wider when it is looked at a step coarser. One large thing, or the grain of
    the noise, may look whole at one step, but not alike at two.

    Parameters
    ----------
    trials : sequence of Trial
        From the narrowest width to the widest.

    Examples
    --------
    >>> trials = [Trial(10, 4.0, 0.5, 9), Trial(16, 21.0, 0.7, 9), Trial(25, 21.0, 0.8, 9)]
    >>> choose_width_px([*trials, Trial(40, 80.0, 0.9, 1)])
    21.0
    """
    pairs = [
        (one, other)
        for one, other in pairwise(trials)
        if not (math.isnan(one.found_px) or math.isnan(other.found_px))
    ]
    if not pairs:
        # Nothing was found at two widths in a row, so none is wrong.
        return _NOTHING_PX
    one, other = max(pairs, key=lambda pair: _agreement(*pair))
    return min(max(math.sqrt(one.found_px * other.found_px), NARROWEST_PX), WIDEST_PX)


def refine_width_px(chosen_px: float, again: Trial) -> float:
    """Take what is found at the chosen width itself, unless that is something else."""
    if math.isnan(again.found_px) or abs(math.log2(again.found_px / chosen_px)) > _SAME_OCTAVES:
        return chosen_px
    return min(max(math.sqrt(chosen_px * again.found_px), NARROWEST_PX), WIDEST_PX)


def _agreement(one: Trial, other: Trial) -> float:
    """Return how well two trials a step apart agree with each other and with themselves."""
    tried = math.sqrt(one.width_px * other.width_px)
    found = math.sqrt(one.found_px * other.found_px)
    unlike_next = abs(math.log2(other.found_px / one.found_px))
    unlike_tried = abs(math.log2(found / tried))
    # Grain is everywhere, and always narrow.
    fine = max(0.0, math.log2(_FINE_PX / tried))
    many = min(1.0, math.log2(1 + min(one.n, other.n)) / math.log2(_MANY))
    return (
        (one.peak + other.peak) / 2
        - _UNLIKE_NEXT * unlike_next
        - _UNLIKE_TRIED * unlike_tried
        - _FINE_PENALTY * fine
        + _MANY_BONUS * many
    )
