"""Heights that carry instances which something else found, such as a network of another package.

What such a package finds in a window depends on all of the window, so it is asked about the
blocks of one grid over the mosaic, which no tile moves. Each block is read with context around
it. Where the windows of two neighbouring blocks overlap, an instance of one and an instance of
the other are the same particle if they agree on the shared pixels; along the border of the
blocks, and between instances anywhere, pixels get the lowest height unless both sides are the
same. All others get the highest. So a particle is a plateau, and the two passes over the tiles
find exactly those.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.digests import digest_array
from pipelines.evaluation.instances import count_shared_pixels, match_instances
from pipelines.records import Window
from pipelines.segmentation.masks import MAX_HEIGHT
from pipelines.segmentation.overview import Overview
from pipelines.segmentation.regions import LATER
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey

#: Edge of a block, and the least that is read around it; an object should be no wider than that.
BLOCK_PX, CONTEXT_PX = 512, 64
#: Blocks that are kept: a tile and the one beside it share two columns of them.
KEPT_BLOCKS = 32
#: Instances of two blocks are one particle above this IoU on the pixels that both windows show.
SAME_IOU = 0.5
#: Numbers of instances within a block have so many bits.
_LOCAL_BITS = 32

Ids = NDArray[np.int64]
FindInstances = Callable[[NDArray[np.float32], SegmentationSettings], NDArray[Any]]


@dataclass
class GivenInstances:
    """A method whose instances a callable finds, block by block.

    Attributes
    ----------
    find : callable
        Takes grey levels as an (h, w) float32 array, scaled so that background is about 0 and
        particles about 1 (or -1 if dark), and the settings; returns (h, w) integer ids, 0 for
        background.
    block_px, context_px : int
        Edge of a block, and what is read around it at least.
    version : int
        Raised whenever the same instances give other particles than before.
    """

    find: FindInstances
    block_px: int = BLOCK_PX
    context_px: int = CONTEXT_PX
    version: int = 1
    _kept: OrderedDict[str, Ids] = field(default_factory=OrderedDict, repr=False)

    def support_px(self, settings: SegmentationSettings) -> int:
        """Return the reach of a block beside the one that a pixel lies in."""
        return self.block_px + self._context_px(settings) + 3

    def lifts(self, overview: Overview) -> float | NDArray[np.float32]:
        """Choose the threshold after Otsu: particles' contrast is told by it, not their shape."""
        from pipelines.segmentation.methods.otsu import METHOD

        return METHOD.lifts(overview)

    def heights(
        self, image: NDArray[Any], window: Window, survey: Survey, settings: SegmentationSettings
    ) -> NDArray[np.uint16]:
        """Return plateaus, one for each instance."""
        context_px = self._context_px(settings)
        needed = _needed(window, survey, self.support_px(settings) - 2)
        scaled = scale_levels(image, survey)
        found = {}
        for block in blocks_of(needed, self.block_px):
            shown = _clip(block.grown(context_px, (window.y1, window.x1)), window)
            found[block] = shown, self._find(scaled[_within(shown, window)], settings)
        return plateaus(found, window)

    def _context_px(self, settings: SegmentationSettings) -> int:
        widest = max(settings.max_diameter_px or 0, 2 * (settings.object_px or 0))
        return max(self.context_px, math.ceil(widest))

    def _find(self, levels: NDArray[np.float32], settings: SegmentationSettings) -> Ids:
        key = digest_array(levels)
        if key not in self._kept:
            ids = np.asarray(self.find(levels, settings)).astype(np.int64)
            if ids.shape != levels.shape:
                raise ValueError(f"instances have shape {ids.shape}, their image {levels.shape}")
            self._kept[key] = ids
            while len(self._kept) > KEPT_BLOCKS:
                self._kept.popitem(last=False)
        return self._kept[key]


def plateaus(found: dict[Window, tuple[Window, Ids]], window: Window) -> NDArray[np.uint16]:
    """Draw the instances of blocks as plateaus, with the lowest height where two meet.

    Parameters
    ----------
    found : dict
        For each block, the window that was looked at and the ids of its pixels.
    window : Window
        What to draw.
    """
    owner = np.zeros(window.shape, dtype=np.int64)
    for number, (block, (shown, ids)) in enumerate(found.items()):
        part = _clip(block, window)
        own = ids[_within(part, shown)]
        owner[_within(part, window)] = np.where(own > 0, own + (number << _LOCAL_BITS), 0)
    same = _same_instances(found)
    heights = np.where(owner > 0, MAX_HEIGHT, 0).astype(np.uint16)
    for dy, dx in LATER:
        one, other = _pair(owner, dy, dx)
        y, x = np.nonzero((one != other) & (one > 0) & (other > 0))
        low, high = np.minimum(one[y, x], other[y, x]), np.maximum(one[y, x], other[y, x])
        apart = np.array(
            [pair not in same for pair in zip(low.tolist(), high.tolist(), strict=True)], bool
        )
        for view in _pair(heights, dy, dx):
            view[y[apart], x[apart]] = 1
    return heights


def scale_levels(image: NDArray[Any], survey: Survey) -> NDArray[np.float32]:
    """Scale grey levels by the whole mosaic: background is 0, the typical particle 1 away.

    A scale of every block's own would turn the noise of an empty block into particles.
    """
    level = float(np.median(survey.backgrounds))
    contrast = max(survey.contrast, 6 * survey.noise, 1.0)
    scaled: NDArray[np.float32] = (image.astype(np.float32) - np.float32(level)) / np.float32(
        contrast
    )
    return scaled


def blocks_of(window: Window, block_px: int) -> Iterator[Window]:
    """Yield the blocks of the grid that a window touches, whole, in row-major order."""
    for y in range(window.y0 // block_px * block_px, window.y1, block_px):
        for x in range(window.x0 // block_px * block_px, window.x1, block_px):
            yield Window(y, x, y + block_px, x + block_px)


def _same_instances(found: dict[Window, tuple[Window, Ids]]) -> set[tuple[int, int]]:
    """Pair instances of neighbouring blocks that agree where both were seen."""
    same: set[tuple[int, int]] = set()
    numbered = list(enumerate(found.items()))
    for number, (block, (shown, ids)) in numbered:
        for later, (other, (other_shown, other_ids)) in numbered[number + 1 :]:
            touching = _clip(block.grown(1, (block.y1 + 1, block.x1 + 1)), other)
            if touching.y0 >= touching.y1 or touching.x0 >= touching.x1:
                continue
            both = _clip(shown, other_shown)
            counted = count_shared_pixels(
                ids[_within(both, shown)], other_ids[_within(both, other_shown)]
            )
            matches = match_instances(counted, iou_threshold=SAME_IOU)
            ones = (matches.truth_ids + (number << _LOCAL_BITS)).tolist()
            others = (matches.found_ids + (later << _LOCAL_BITS)).tolist()
            same.update(zip(ones, others, strict=True))
    return same


def _needed(window: Window, survey: Survey, margin_px: int) -> Window:
    """Leave out what is only there for the blocks nearer the middle to be seen whole."""
    rows, columns = (n * survey.block_px for n in survey.thresholds.shape)
    # The mosaic ends somewhere in the last row of the survey's blocks: there nothing is left out.
    at_end = (window.y1 > rows - survey.block_px, window.x1 > columns - survey.block_px)
    return Window(
        window.y0 + (margin_px if window.y0 else 0),
        window.x0 + (margin_px if window.x0 else 0),
        window.y1 - (0 if at_end[0] else margin_px),
        window.x1 - (0 if at_end[1] else margin_px),
    )


def _pair(image: NDArray[Any], dy: int, dx: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two views of an image in which neighbours in a later direction lie at one index."""
    height, width = image.shape
    one = image[: height - dy, max(0, -dx) : width - max(0, dx)]
    other = image[dy:, max(0, dx) : width - max(0, -dx)]
    return one, other


def _clip(window: Window, to: Window) -> Window:
    return Window(
        max(window.y0, to.y0), max(window.x0, to.x0), min(window.y1, to.y1), min(window.x1, to.x1)
    )


def _within(window: Window, outer: Window) -> tuple[slice, slice]:
    """Return the slices of a window in an array that shows the outer one."""
    return (
        slice(window.y0 - outer.y0, window.y1 - outer.y0),
        slice(window.x0 - outer.x0, window.x1 - outer.x0),
    )
