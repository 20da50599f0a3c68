"""Everything that training a classifier needs to know, checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.classifiers.architectures import WIDTHS
from pipelines.errors import LabelError, ModelError
from pipelines.mosaic.crops import CropSpec, Padding
from pipelines.training.augmentation import Augmentation, averaging_angles, margin
from pipelines.training.crop_source import CropSource, MosaicCrops
from pipelines.training.loop import LoopSettings
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import ROLES, SELECT, TRAIN


@dataclass(frozen=True)
class View:
    """What of a particle the network sees.

    Attributes
    ----------
    field : float
        Edge of the square around the particle: in nanometres if ``in_nm``, else in pixels.
    in_nm : bool
        The unit of ``field``.
    input_px : int
        Edge of the network's input.
    read_px : int
        Edge of the crop that is read, wider by what rotations and shifts look beyond, at the
        same scale.
    aligned : bool
        Whether major axes are turned to the vertical.
    padding : {"constant", "reflect"}
        What lies beyond the mosaic's edge.
    """

    field: float
    in_nm: bool
    input_px: int
    read_px: int
    aligned: bool
    padding: Padding = "constant"

    def field_px(self, pixel_size_nm: float | None) -> float:
        """Return the edge of the square in a mosaic's pixels.

        Raises
        ------
        ModelError
            If the field is in nanometres and the mosaic's pixel size is not known.
        """
        if not self.in_nm:
            return self.field
        if pixel_size_nm is None:
            raise ModelError(
                "the field of view is in nm, so the mosaic's pixel size must be known, got none"
            )
        return self.field / pixel_size_nm

    @property
    def spec(self) -> CropSpec:
        """How crops are cut."""
        return CropSpec(self.read_px, aligned=self.aligned, padding=self.padding)

    def crops(
        self,
        paths: Sequence[Path],
        pixel_sizes_nm: Sequence[float | None],
        particles: "Particles",
    ) -> MosaicCrops:
        """Return the source of the particles' crops."""
        scale = self.read_px / self.input_px
        return MosaicCrops(
            paths=tuple(paths),
            fields_px=tuple(self.field_px(size) * scale for size in pixel_sizes_nm),
            mosaic_index=particles.mosaic_index,
            centres_yx=particles.centres_yx,
            orientations_rad=particles.orientations_rad,
            spec=self.spec,
        )


def plan_view(
    field: float,
    *,
    in_nm: bool,
    input_px: int,
    aligned: bool,
    augmentation: Augmentation,
    padding: Padding = "constant",
) -> View:
    """Plan what is read around particles so that augmentation never runs out of pixels."""
    extra = int(np.ceil(input_px * (margin(augmentation) - 1) / 2))
    # The same on both sides: the middle of what is read is the network's input, pixel by pixel.
    return View(field, in_nm, input_px, input_px + 2 * extra, aligned, padding)


@dataclass(frozen=True)
class Particles:
    """Particles of some mosaics; every array has one entry per particle."""

    particle_ids: NDArray[np.int64]
    mosaic_index: NDArray[np.int64]
    centres_yx: NDArray[np.float64]
    orientations_rad: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.particle_ids)


@dataclass(frozen=True)
class TrainPlan:
    """One training, complete.

    Attributes
    ----------
    mosaics, pixel_sizes_nm : sequences
        The mosaics, and the pixel size of each in nm, None if not known.
    particles : Particles
        All particles with any role.
    roles : (N,) ndarray of int
        Indices into `ROLES`.
    given_labels, true_labels : (N,) ndarray of int
        Class indices, `UNKNOWN` where there is none. True labels are for curves and tests alone,
        but for those of the clean_small part, which methods may spend.
    classes : sequence of str
        Names of the classes, in the order of their indices.
    mirrored_class : sequence of int
        For each class that of its mirror image.
    use_mirror_images : bool
        Whether mirror images, under their own labels, are trained on too.
    method, method_options
        How to learn.
    network : mapping
        Description for `build_network`.
    view, augmentation, loop
        What is seen, how it is varied, how long it is learnt.
    n_rotations : int
        Over how many rotations predictions are averaged.
    cache_bytes : int
        Bound on the memory of crops in each worker, in bytes.
    seed : int
        Seed of everything random.
    mirrored_given_labels : (N,) ndarray of int, optional
        Given labels of the particles' mirror images, where they have their own errors.
    stored : CropSource, optional
        Crops that are there already, a row per particle; by default they are cut from mosaics.
    curve_particles : int
        Test particles behind each point of a curve, at most.
    start : Path, optional
        Folder of the model whose weights training begins from; random ones by default.
    mirrored_share : float
        Share of the particles that are learnt from as their mirror images, instead of themselves,
        where mirror images are not trained on too.
    """

    mosaics: Sequence[Path]
    pixel_sizes_nm: Sequence[float | None]
    particles: Particles
    roles: NDArray[np.int64]
    given_labels: NDArray[np.int64]
    true_labels: NDArray[np.int64]
    classes: Sequence[str]
    mirrored_class: Sequence[int]
    use_mirror_images: bool
    method: str
    network: Mapping[str, Any]
    view: View
    method_options: Mapping[str, float] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loop: LoopSettings = field(default_factory=LoopSettings)
    n_rotations: int = 4
    cache_bytes: int = 2**30
    seed: int = 0
    mirrored_given_labels: NDArray[np.int64] | None = None
    stored: CropSource | None = None
    curve_particles: int = 512
    start: Path | None = None
    mirrored_share: float = 0.0

    def crops(self) -> CropSource:
        """Return the source of all particles' crops."""
        if self.stored is not None:
            return self.stored
        return self.view.crops(self.mosaics, self.pixel_sizes_nm, self.particles)

    @property
    def angles_rad(self) -> list[float]:
        """The rotations that predictions are averaged over."""
        return averaging_angles(
            self.n_rotations,
            any_rotation=self.augmentation.any_rotation,
            tilt_deg=self.augmentation.tilt_deg,
        )


def describe_network(
    architecture: str,
    width: str,
    *,
    mirrored_class: Sequence[int],
    antisymmetric: bool,
    dropout: float,
    n_networks: int,
    n_extra_outputs: int = 0,
) -> dict[str, Any]:
    """Describe a network as `build_network` takes it."""
    return {
        "architecture": architecture,
        "widths": list(WIDTHS[width]),
        "n_classes": len(mirrored_class),
        "dropout": dropout,
        "antisymmetric": antisymmetric,
        "mirrored_class": list(mirrored_class),
        "n_networks": n_networks,
        "n_extra_outputs": n_extra_outputs,
    }


def plan_classes(
    labels: Sequence[str], mirror_pairs: Sequence[tuple[str, str]]
) -> tuple[list[str], list[int]]:
    """Order the classes, and find for each the class of its mirror image.

    Parameters
    ----------
    labels : sequence of str
        Every label that occurs.
    mirror_pairs : sequence of (str, str)
        Classes that a mirror exchanges. A pair counts if one of the two occurs; then both are
        classes. Every other class is its own mirror image.

    Returns
    -------
    classes : list of str
        Sorted.
    mirrored_class : list of int

    Raises
    ------
    LabelError
        If there is nothing to tell apart: fewer than two classes.

    Examples
    --------
    >>> plan_classes(["right", "none"], [("right", "left")])
    (['left', 'none', 'right'], [2, 1, 0])
    """
    present = set(labels)
    partner: dict[str, str] = {}
    for one, other in mirror_pairs:
        if one in partner or other in partner or one == other:
            raise LabelError(f"mirror pair {one}:{other} names a class that has a partner already")
        if {one, other} & present:
            partner |= {one: other, other: one}
    classes = sorted(present | set(partner))
    if not classes:
        raise LabelError("no particle has a label")
    if len(classes) == 1:
        raise LabelError(
            f"all labels are {classes[0]!r}: to learn anything there must be a second class, "
            "or a mirror pair that makes one"
        )
    return classes, [classes.index(partner.get(name, name)) for name in classes]


def check_samples(
    roles: NDArray[np.int64],
    given_labels: NDArray[np.int64],
    classes: Sequence[str],
    mirrored_class: Sequence[int],
) -> None:
    """Check that every class can be learnt, and that there is something to choose by.

    Raises
    ------
    LabelError
        Naming the class that has no particle to train on, or the role that has none.
    """
    for role in (TRAIN, SELECT):
        if not ((roles == role) & (given_labels != UNKNOWN)).any():
            raise LabelError(
                f"no labelled particle falls to the {ROLES[role]!r} part: there are only "
                f"{int((given_labels != UNKNOWN).sum())} labelled particles"
            )
    seen = set(given_labels[(roles == TRAIN) & (given_labels != UNKNOWN)].tolist())
    seen |= {mirrored_class[index] for index in seen}
    for index, name in enumerate(classes):
        if index not in seen:
            raise LabelError(f"class {name!r} has no particle to train on")
