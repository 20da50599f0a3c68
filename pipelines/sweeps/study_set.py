"""A study's particles with their truth, on disk, so that hundreds of trials can share them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.classifiers.plan import View
from pipelines.digests import digest_array, digest_json
from pipelines.errors import SettingsError
from pipelines.training.augmentation import Augmentation

CROPS_FILE = "crops.npy"
TABLE_FILE = "particles.npz"
ABOUT_FILE = "study.json"
#: What particles are for: to learn from, to be tested on, or to show that nothing is seen where
#: there is nothing to see.
GROUPS = ("learn", "test", "control")
LEARN, TEST, CONTROL = range(3)


@dataclass(frozen=True)
class CropFile:
    """Crops in a file, opened where they are read."""

    path: Path
    rows: NDArray[np.int64]
    edge_px: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size_px(self) -> int:
        """Edge of a crop."""
        return self.edge_px

    def blocks(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Give all rows as one group."""
        return [rows] if len(rows) else []

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Read crops."""
        stored = np.load(self.path, mmap_mode="r")
        return np.asarray(stored[self.rows[rows]], dtype=np.float16)


@dataclass(frozen=True)
class StudySet:
    """Particles of known class, for trials that make labels wrong on purpose.

    Attributes
    ----------
    folder : Path
        Where it lies.
    particle_ids, true_labels, groups : (N,) ndarray of int
        Ids; class indices, -1 for controls; indices into `GROUPS`.
    difficulty : (N,) ndarray
        Larger where a particle is harder to tell; for noise that depends on the instance.
    order : (N,) ndarray
        Larger where a particle was acquired later; for noise in blocks.
    classes, mirrored_class : list
        Names of the classes, and for each the index of its mirror image's.
    view : View
        What of a particle the network sees.
    augmentation : Augmentation
        How crops may be varied.
    origin : mapping
        Digests of what it was made from, and in words.
    """

    folder: Path
    particle_ids: NDArray[np.int64]
    true_labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    difficulty: NDArray[np.float64]
    order: NDArray[np.float64]
    classes: list[str]
    mirrored_class: list[int]
    view: View
    augmentation: Augmentation
    origin: Mapping[str, Any]

    @property
    def has_mirror(self) -> bool:
        """Whether a mirror exchanges any classes."""
        return self.mirrored_class != list(range(len(self.classes)))

    def crops(self, rows: NDArray[np.int64]) -> CropFile:
        """Return the crops of some particles, numbered anew from 0."""
        return CropFile(self.folder / CROPS_FILE, rows, self.view.read_px)

    @property
    def digest(self) -> str:
        """Digest of all that trials depend on."""
        about = json.loads((self.folder / ABOUT_FILE).read_text(encoding="utf-8"))
        return str(about["digest"])


def write_study_set(
    folder: Path,
    crops: NDArray[np.float16],
    *,
    particle_ids: NDArray[np.int64],
    true_labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    difficulty: NDArray[np.float64],
    order: NDArray[np.float64],
    classes: Sequence[str],
    mirrored_class: Sequence[int],
    view: View,
    augmentation: Augmentation,
    origin: Mapping[str, Any],
) -> StudySet:
    """Write a study set; parameters as the attributes of `StudySet`, crops (N, S, S) scaled.

    Raises
    ------
    SettingsError
        If a class has no particle to learn from or none to be tested on.
    """
    for group in (LEARN, TEST):
        present = set(true_labels[groups == group].tolist())
        if group == LEARN and view.read_px and mirrored_class:
            # A mirror makes what one hand lacks.
            present |= {mirrored_class[label] for label in present if label >= 0}
        for index, name in enumerate(classes):
            if index not in present:
                raise SettingsError(f"class {name!r} has no particle to {GROUPS[group]}")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / CROPS_FILE, np.asarray(crops, dtype=np.float16))
    columns = {
        "particle_ids": particle_ids,
        "true_labels": true_labels,
        "groups": groups,
        "difficulty": difficulty,
        "order": order,
    }
    np.savez(folder / TABLE_FILE, **columns)  # type: ignore[arg-type]
    about: dict[str, Any] = {
        "classes": list(classes),
        "mirrored_class": list(mirrored_class),
        "view": asdict(view),
        "augmentation": asdict(augmentation),
        "origin": dict(origin),
    }
    digests = [digest_array(values) for values in columns.values()]
    about["digest"] = digest_json([about, digests, digest_array(crops)])
    (folder / ABOUT_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")
    return read_study_set(folder)


def read_study_set(folder: Path) -> StudySet:
    """Read a study set; crops stay on disk."""
    about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    with np.load(folder / TABLE_FILE) as table:
        columns = {name: table[name] for name in table.files}
    return StudySet(
        folder=folder,
        classes=about["classes"],
        mirrored_class=about["mirrored_class"],
        view=View(**about["view"]),
        augmentation=Augmentation(**about["augmentation"]),
        origin=about["origin"],
        **columns,
    )
