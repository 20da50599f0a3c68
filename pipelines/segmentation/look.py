"""A window that a method is asked about, and what answers for several windows at once."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey


class Look(NamedTuple):
    """A window that a method is asked about: the first arguments of ``Method.heights``."""

    image: NDArray[Any]
    window: Window
    survey: Survey


@runtime_checkable
class BatchMethod(Protocol):
    """A method that answers for several windows at once, each as if it were the only one."""

    def heights_of_all(
        self, looks: Sequence[Look], settings: SegmentationSettings
    ) -> Iterable[NDArray[np.uint16]]:
        """Give the pixels of every window their heights, in the order of the windows."""
        ...
