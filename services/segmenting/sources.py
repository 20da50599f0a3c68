"""What a segmenter is fitted on, laid out in files: masks that are given, weak and made up."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.digests import digest_array, digest_file, digest_json
from pipelines.errors import SettingsError
from pipelines.mosaic.ome_zarr import open_mosaic
from pipelines.mosaic.sources import source_digest
from pipelines.mosaic.truth_folder import pair_truth
from pipelines.segmenter.material import write_source
from pipelines.segmenter.plan import RESULT_VERSION as FIT_VERSION
from pipelines.segmenter.plan import Kind, Source
from pipelines.segmenter.scenes import draw_scene
from pipelines.segmenter.weak_masks import draw_weak_masks
from services.progress import Progress
from services.segmenting.images import (
    INSTANCES,
    TRUTH,
    KnownImage,
    folder_images,
    mosaic_images,
    mosaics_with,
    renamed,
)

#: Raised whenever the same inputs become other sources.
RESULT_VERSION = 2
#: One in so many scenes shows dim objects on a support, where any are to.
_SUPPORTED_EACH = 4


@dataclass(frozen=True)
class Inputs:
    """What to learn from, before any pixel is read.

    Attributes
    ----------
    folder : Path or None
        Images with masks; see `pipelines.mosaic.truth_folder`.
    pixel_size_nm : float or None
        Of the folder's images.
    true_mosaics, segmented_mosaics, weak_mosaics : tuple of str
        Mosaics whose truth is known, those whose published instances are believed, and those
        where classical methods look for objects.
    n_simulated : int
        Scenes that are made up.
    on_support : bool
        Whether some of them show dim objects on a thick support.
    seed : int
        Seed of all of them.
    """

    folder: Path | None
    pixel_size_nm: float | None
    true_mosaics: tuple[str, ...]
    segmented_mosaics: tuple[str, ...]
    weak_mosaics: tuple[str, ...]
    n_simulated: int
    on_support: bool
    seed: int

    def identity(self, archive: Archive) -> dict[str, Any]:
        """Return what tells these inputs from others, by the digests of files."""
        pairs = pair_truth(self.folder) if self.folder is not None else []
        return {
            "versions": [RESULT_VERSION, FIT_VERSION],
            "folder": [
                [source.name, source_digest(source.path), digest_file(path)]
                for source, path in pairs
            ],
            "pixel_size_nm": self.pixel_size_nm,
            "true_mosaics": _with_labels(archive, self.true_mosaics, TRUTH),
            "segmented_mosaics": _with_labels(archive, self.segmented_mosaics, INSTANCES),
            "weak_mosaics": {
                name: open_mosaic(archive.mosaic(name)).info.digest for name in self.weak_mosaics
            },
            "simulated": [self.n_simulated, self.on_support, self.seed]
            if self.n_simulated
            else None,
        }


def _with_labels(archive: Archive, names: Sequence[str], label: str) -> dict[str, list[str]]:
    """Return the digests of mosaics and of their instance images."""
    return {
        name: [
            open_mosaic(archive.mosaic(name)).info.digest,
            source_digest(archive.mosaic(name) / "labels" / label),
        ]
        for name in names
    }


@dataclass(frozen=True)
class Sources:
    """Sources that lie in files, and the digests of what they hold.

    Attributes
    ----------
    sources : list of Source
        For the plan of a fit.
    mosaics, masks : dict
        Digests of the images and of what was said of their pixels, by source.
    """

    sources: list[Source] = field(default_factory=list)
    mosaics: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there are of each kind."""
        kinds = [source.kind for source in self.sources]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def plan_inputs(
    archive: Archive,
    names: Sequence[str],
    *,
    folder: Path | None,
    pixel_size_nm: float | None,
    believe_instances: bool,
    weak: bool,
    n_simulated: int,
    on_support: bool = False,
    seed: int,
) -> Inputs:
    """Choose what to learn from.

    Raises
    ------
    SettingsError
        If there is nothing.
    """
    true = mosaics_with(archive, names, TRUTH)
    others = [name for name in names if name not in true]
    segmented = mosaics_with(archive, others, INSTANCES) if believe_instances else []
    unknown = [name for name in others if name not in segmented] if weak else []
    inputs = Inputs(
        folder,
        pixel_size_nm,
        tuple(true),
        tuple(segmented),
        tuple(unknown),
        n_simulated,
        on_support,
        seed,
    )
    if folder is None and not (true or segmented or unknown or n_simulated):
        raise SettingsError(
            "there is nothing to learn from: give --truth DIR, mosaics for --weak, or --simulated N"
        )
    if folder is not None:
        pair_truth(folder)
    return inputs


def write_sources(archive: Archive, inputs: Inputs, folder: Path) -> Sources:
    """Write all sources into a folder, each image once; what lies there already is replaced.

    Raises
    ------
    SettingsError
        If an image or mask cannot be read, they differ in shape, or the masks of a folder are all
        background.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = Sources()
    if inputs.folder is not None:
        for image in folder_images(inputs.folder, inputs.pixel_size_nm):
            _write(folder, found, "truth", renamed(image, "given"))
    for image in mosaic_images(archive, inputs.true_mosaics, TRUTH):
        _write(folder, found, "truth", renamed(image, "mosaic"))
    for image in mosaic_images(archive, inputs.segmented_mosaics, INSTANCES):
        _write(folder, found, "weak", renamed(image, "segmented"))
    for image, confidence in _weak(archive, inputs.weak_mosaics):
        _write(folder, found, "weak", renamed(image, "weak"), confidence)
    for image in _simulated(inputs.n_simulated, inputs.seed, on_support=inputs.on_support):
        _write(folder, found, "simulated", image)
    return found


def _weak(archive: Archive, names: Sequence[str]) -> Iterator[tuple[KnownImage, NDArray[np.uint8]]]:
    if not names:
        return
    images = list(mosaic_images(archive, names))
    progress = Progress("weak masks", len(images), unit="windows")
    for image in images:
        masks = draw_weak_masks(image.grey)
        progress.advance()
        # Where no method finds anything, perhaps all of them are wrong.
        if masks.instances.any():
            yield replace(image, instances=masks.instances.astype(np.uint32)), masks.confidence


def _simulated(n: int, seed: int, *, on_support: bool) -> Iterator[KnownImage]:
    for number in range(n):
        # What is learned on supports must not be unlearned elsewhere.
        supported = on_support and number % _SUPPORTED_EACH == 0
        scene = draw_scene(seed, number, on_support=supported)
        name = f"scene-{number}"
        yield KnownImage(name, name, scene.image, scene.instances.astype(np.uint32), None)


def _write(
    folder: Path,
    found: Sources,
    kind: Kind,
    image: KnownImage,
    confidence: NDArray[np.uint8] | None = None,
) -> None:
    found.sources.append(
        write_source(
            folder,
            image.name,
            kind,
            image.grey,
            image.instances,
            confidence=confidence,
            group=image.group,
            pixel_size_nm=image.pixel_size_nm,
        )
    )
    found.mosaics[image.name] = digest_array(image.grey)
    believed = [] if confidence is None else [digest_array(confidence)]
    found.masks[image.name] = digest_json([digest_array(image.instances), *believed])
