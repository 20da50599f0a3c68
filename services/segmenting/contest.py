"""Methods compared on images whose objects are known: found, scored, timed."""

import math
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import MOSAIC_SUFFIX
from pipelines.mosaic.ome_zarr import Mosaic, open_mosaic, write_mosaic
from pipelines.mosaic.truth_folder import LEAST_IMAGES
from pipelines.segmentation.method import load_method
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.whole import find_instances
from pipelines.segmenter.scores import Scores, score_pairs
from services.segmenting.images import KnownImage
from services.segmenting.reference import Resolved

#: Pixel sizes of one group differ by no more than this factor.
GROUP_FACTOR = 1.25

Instances = NDArray[np.uint32]


@dataclass(frozen=True)
class Entrant:
    """A method, and what it found.

    Attributes
    ----------
    method : Resolved
        Which.
    found : dict
        Instances by image.
    seconds : float
        For all images together, reading included.
    failure : str
        Why it found nothing, where it failed.
    """

    method: Resolved
    found: dict[str, Instances] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Standing:
    """How well one method did on one group of images."""

    entrant: Entrant
    scores: Scores
    mpx_per_s: float

    @property
    def rank(self) -> tuple[float, ...]:
        """What it is ranked by: F1 at 0.5 and at 0.75, panoptic quality, speed; less is better."""
        keys = (self.scores.f1_50, self.scores.f1_75, self.scores.pq, self.mpx_per_s)
        # To three digits: a difference below that is none.
        return tuple(-round(key, 3) for key in keys)


@dataclass(frozen=True)
class Group:
    """Images of about one pixel size, and the methods in order, the best first."""

    pixel_sizes_nm: tuple[float, float] | None
    images: Sequence[KnownImage]
    standings: Sequence[Standing]

    @property
    def best(self) -> Standing:
        """The first."""
        return self.standings[0]


@contextmanager
def laid_out(images: Iterable[KnownImage], folder: Path) -> Iterator[dict[str, Mosaic]]:
    """Write images as mosaics, so that methods see them as they see any other."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        found = {}
        for number, image in enumerate(images):
            path = folder / f"{number}{MOSAIC_SUFFIX}"
            write_mosaic(path, image.grey, pixel_size_nm=image.pixel_size_nm)
            found[image.name] = open_mosaic(path)
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def enter(method: Resolved, mosaics: dict[str, Mosaic], settings: SegmentationSettings) -> Entrant:
    """Let a method find the objects of all images; an error ends its part in the contest alone."""
    found: dict[str, Instances] = {}
    try:
        finder = load_method(settings.method)
        if mosaics:
            # What is loaded at the first use is no part of its speed.
            find_instances(next(iter(mosaics.values())), settings, finder)
        started = time.monotonic()
        for name, mosaic in mosaics.items():
            found[name] = find_instances(mosaic, settings, finder)
    except Exception as error:
        return Entrant(method, failure=f"{type(error).__name__}: {error}")
    return Entrant(method, found, time.monotonic() - started)


def judge(images: Sequence[KnownImage], entrants: Sequence[Entrant]) -> list[Group]:
    """Score methods on every group of images of about one pixel size.

    Methods that failed are left out; there is no group without one that did not.
    """
    ended = [entrant for entrant in entrants if not entrant.failure]
    groups = []
    all_px = sum(image.grey.size for image in images)
    for members in by_pixel_size(images):
        standings = [
            Standing(
                entrant,
                score_pairs((image.instances, entrant.found[image.name]) for image in members),
                all_px / 1e6 / max(entrant.seconds, 1e-9),
            )
            for entrant in ended
        ]
        sizes = [image.pixel_size_nm for image in members]
        known = [size for size in sizes if size is not None]
        limits = (min(known), max(known)) if known else None
        groups.append(Group(limits, members, sorted(standings, key=lambda s: s.rank)))
    return [group for group in groups if group.standings]


def unseen(
    images: Sequence[KnownImage], methods: Sequence[Resolved]
) -> tuple[list[KnownImage], int]:
    """Leave out images that one of the methods was fitted on, if enough others remain.

    Returns
    -------
    images : list of KnownImage
        Those to compare on: all of them where fewer than two would remain.
    n_seen : int
        How many of these a method was fitted on: its scores are too good there.
    """
    known = frozenset[str]().union(*(method.seen for method in methods))
    new = [image for image in images if image.digest not in known]
    if len(new) >= LEAST_IMAGES:
        return new, 0
    return list(images), len(images) - len(new)


def by_pixel_size(images: Sequence[KnownImage]) -> list[list[KnownImage]]:
    """Group images whose pixel sizes differ little; those of unknown size are one group."""
    unknown = [image for image in images if image.pixel_size_nm is None]
    known = sorted(
        (image for image in images if image.pixel_size_nm is not None),
        key=lambda image: image.pixel_size_nm or math.nan,
    )
    groups: list[list[KnownImage]] = []
    for image in known:
        first = groups[-1][0].pixel_size_nm if groups else None
        if first is not None and (image.pixel_size_nm or 0) <= GROUP_FACTOR * first:
            groups[-1].append(image)
        else:
            groups.append([image])
    return [*groups, unknown] if unknown else groups
