"""Patches to learn from: images at the working scale, and balanced batches of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.digests import digest_array, digest_json
from pipelines.errors import SettingsError
from pipelines.randomness import generator
from pipelines.segmentation.learned.normalisation import Normalisation
from pipelines.segmentation.learned.widths import instance_areas, typical_width_px
from pipelines.segmenter.augmentation import Placement, change_contrast, cut_patch, paste_objects
from pipelines.segmenter.plan import FitPlan, Source
from pipelines.segmenter.targets import Targets, make_targets

#: Around a patch so much more is cut, of its edge, so that objects at its border are whole when
#: their targets are made.
_MARGIN_SHARE = 0.125
#: Share of patches around an object; the rest lie anywhere.
_ON_OBJECT = 0.7

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Example:
    """One image, as it is kept in memory.

    Attributes
    ----------
    source : Source
        Where it is from.
    grey : (H, W) float32 array
        Normalised.
    instances : (H, W) int32 array
        Its objects.
    confidence : (H, W) float32 array
        0 to 1.
    width_px : float
        Its typical object, in pixels of these arrays.
    original_width_px : float
        The same, in pixels of the file.
    """

    source: Source
    grey: Floats
    instances: Ids
    confidence: Floats
    width_px: float
    original_width_px: float


def read_examples(plan: FitPlan) -> list[Example]:
    """Read all sources of a plan, shrunk as far as no patch will ever look closer.

    Raises
    ------
    SettingsError
        If a file cannot be used, or there is no object anywhere.
    """
    read = [(source, *_read(source)) for source in plan.sources]
    widths = [typical_width_px(instance_areas(ids)) for _, _, ids, _ in read]
    known = [width for width in widths if not math.isnan(width)]
    if not known:
        raise SettingsError(
            f"sources must hold at least one object, got only background in all {len(read)} images"
        )
    examples = []
    for (source, grey, ids, confidence), width in zip(read, widths, strict=True):
        # An image without objects is looked at like the others.
        own = float(np.median(known)) if math.isnan(width) else width
        finest = plan.object_px * plan.scale_jitter / own
        examples.append(_shrunk(Example(source, grey, ids, confidence, own, own), finest))
    return examples


def data_digest(plan: FitPlan) -> str:
    """Digest what the files of a plan hold."""
    digests = []
    for source in plan.sources:
        files = [source.image, source.instances, source.confidence]
        arrays = [None if file is None else digest_array(np.load(file)) for file in files]
        digests.append([source.name, source.kind, source.group, *arrays])
    return digest_json(digests)


def _read(source: Source) -> tuple[Floats, Ids, Floats]:
    try:
        image, instances = np.load(source.image), np.load(source.instances)
        believed = None if source.confidence is None else np.load(source.confidence)
    except (OSError, ValueError) as error:
        raise SettingsError(f"source {source.name} cannot be read: {error}") from error
    if image.ndim != 2:
        raise SettingsError(f"image of {source.name} must be grey, (H, W), got shape {image.shape}")
    for name, found in (("instances", instances), ("confidence", believed)):
        if found is not None and found.shape != image.shape:
            raise SettingsError(
                f"{name} of {source.name} must have the shape of its image, {image.shape}, "
                f"got {found.shape}"
            )
    if instances.dtype.kind not in "ui":
        raise SettingsError(f"instances of {source.name} must be integers, got {instances.dtype}")
    grey = Normalisation.of(image).apply(image)
    confidence = np.ones(image.shape, np.float32)
    if believed is not None:
        confidence = believed.astype(np.float32) / np.float32(255)
    return grey, instances.astype(np.int32), confidence


def _shrunk(example: Example, factor: float) -> Example:
    if factor >= 1:
        return example
    height, width = example.grey.shape
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return replace(
        example,
        grey=cv2.resize(example.grey, size, interpolation=cv2.INTER_AREA),
        instances=cv2.resize(example.instances, size, interpolation=cv2.INTER_NEAREST_EXACT),
        confidence=cv2.resize(example.confidence, size, interpolation=cv2.INTER_AREA),
        width_px=example.width_px * factor,
    )


class Patches:
    """Draws batches from examples; the same for the same plan, step and place in the batch."""

    def __init__(self, examples: Sequence[Example], plan: FitPlan) -> None:
        self._plan = plan
        self.examples = list(examples)
        self._spots = [_object_pixels(example.instances) for example in examples]
        kinds = sorted({example.source.kind for example in examples})
        shares = np.array([plan.shares.get(kind, 0.0) for kind in kinds], dtype=np.float64)
        if shares.sum() <= 0:
            raise SettingsError(f"shares must be positive for one of {kinds}, got {plan.shares}")
        self._cumulated = np.cumsum(shares / shares.sum())
        self._members = [
            [i for i, example in enumerate(examples) if example.source.kind == kind]
            for kind in kinds
        ]

    def correct(self, corrections: Mapping[int, tuple[Ids, Floats]]) -> None:
        """Take other instances and confidence for some examples, by their number."""
        for index, (instances, confidence) in corrections.items():
            self.examples[index] = replace(
                self.examples[index], instances=instances, confidence=confidence
            )
            self._spots[index] = _object_pixels(instances)

    def batch(self, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return grey values (B, 1, P, P), and targets and weights (B, 4, P, P)."""
        drawn = [self._draw(step, place) for place in places]
        grey = np.stack([patch for patch, _ in drawn])[:, None]
        fields = np.stack([targets.fields for _, targets in drawn])
        weights = np.stack([targets.weights for _, targets in drawn])
        return torch.from_numpy(grey), torch.from_numpy(fields), torch.from_numpy(weights)

    def _draw(self, step: int, place: int) -> tuple[Floats, Targets]:
        plan = self._plan
        rng = generator(plan.seed, "patch", step, place)
        # Kinds take turns within a batch, so that every batch is balanced.
        turn = (place + rng.random()) / plan.batch_size
        kind = min(int(np.searchsorted(self._cumulated, turn)), len(self._members) - 1)
        index = int(rng.choice(self._members[kind]))
        margin = round(_MARGIN_SHARE * plan.patch_px)
        edge = plan.patch_px + 2 * margin
        grey, instances, believed = self._cut(index, edge, rng)
        if rng.random() < plan.copy_paste:
            donor_grey, donor_ids, _ = self._cut(index, edge, rng)
            n_pasted = int(rng.integers(1, 6))
            grey, instances = paste_objects(
                grey, instances, donor_grey, donor_ids, n=n_pasted, rng=rng
            )
        grey = change_contrast(grey, polarity_free=plan.polarity_free, rng=rng)
        targets = make_targets(instances, object_px=plan.object_px, confidence=believed)
        inner = slice(margin, margin + plan.patch_px)
        return (
            np.ascontiguousarray(grey[inner, inner]),
            Targets(targets.fields[:, inner, inner], targets.weights[:, inner, inner]),
        )

    def _cut(self, index: int, edge: int, rng: np.random.Generator) -> tuple[Floats, Ids, Floats]:
        example, spots = self.examples[index], self._spots[index]
        height, width = example.grey.shape
        limit = math.log(self._plan.scale_jitter)
        scale = example.width_px / self._plan.object_px * math.exp(rng.uniform(-limit, limit))
        if len(spots) and rng.random() < _ON_OBJECT:
            y, x = divmod(int(spots[rng.integers(len(spots))]), width)
            reach = 0.4 * self._plan.patch_px * scale
            centre = (y + rng.uniform(-reach, reach), x + rng.uniform(-reach, reach))
        else:
            centre = (rng.uniform(0, height), rng.uniform(0, width))
        half = 0.4 * self._plan.patch_px * scale
        centre = (_kept_within(centre[0], half, height), _kept_within(centre[1], half, width))
        turn = float(rng.integers(4)) * math.pi / 2
        if rng.random() < 0.5:
            turn += rng.uniform(-math.pi / 4, math.pi / 4)
        place = Placement(centre, scale, turn, bool(rng.random() < 0.5))
        grey = cut_patch(example.grey, place, edge, smooth=True)
        ids = cut_patch(example.instances, place, edge, smooth=False)
        believed = cut_patch(example.confidence, place, edge, smooth=False)
        return grey, ids, believed


def _kept_within(centre: float, half: float, size: int) -> float:
    """Move a patch's centre so that little of it lies beyond the image."""
    return min(max(centre, half), size - half) if 2 * half < size else size / 2


def _object_pixels(instances: NDArray[Any]) -> NDArray[np.int64]:
    """Return some object pixels, as flat indices: as many of a small object as of a large one."""
    flat = np.flatnonzero(instances)
    if flat.size == 0:
        return flat
    ids = instances.reshape(-1)[flat]
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    ends = np.append(starts[1:], flat.size)
    return np.asarray(flat[order[(starts + ends) // 2]])
