"""Images in the IDX format of the MNIST files, plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.classifiers.plan import View
from pipelines.digests import digest_array, digest_json
from pipelines.errors import SettingsError
from pipelines.sweeps.study_set import LEARN, TEST, StudySet, write_study_set
from pipelines.training.augmentation import Augmentation

_UNCHANGED = Augmentation(
    half_turns=False,
    tilt_deg=0,
    shift=0,
    zoom=0,
    contrast=0,
    brightness=0,
    gamma=0,
    blur=0,
    noise=0,
)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of bytes.

    Raises
    ------
    SettingsError
        If it cannot be read, or is not such a file.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise SettingsError(f"{path} is not an IDX file of bytes")
    header = 4 + 4 * raw[3]
    shape = np.frombuffer(raw[4:header], dtype=">u4").tolist()
    n_values = len(raw) - header
    if n_values != math.prod(shape):
        raise SettingsError(f"{path} must hold {math.prod(shape)} values, got {n_values}")
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def study_digits(source: Path, folder: Path) -> StudySet:
    """Make a study set of the four MNIST files in a folder.

    Parameters
    ----------
    source : Path
        Holds ``train-images-idx3-ubyte`` and the three others, plain or with ``.gz``.
    folder : Path
        Study sets are written into folders of their own under it.

    Raises
    ------
    SettingsError
        If a file is missing or damaged.
    """
    parts: dict[str, NDArray[Any]] = {
        name: read_idx(_find(source, name))
        for name in (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        )
    }
    images = np.concatenate([parts["train-images-idx3-ubyte"], parts["t10k-images-idx3-ubyte"]])
    labels = np.concatenate([parts["train-labels-idx1-ubyte"], parts["t10k-labels-idx1-ubyte"]])
    if len(images) != len(labels):
        raise SettingsError(f"{source}: {len(images)} images have {len(labels)} labels")
    n_train = len(parts["train-labels-idx1-ubyte"])
    edge = images.shape[1]
    origin = {"images": digest_array(images), "labels": digest_array(labels)}
    return write_study_set(
        folder / digest_json(origin),
        (images / np.float32(255)).astype(np.float16),
        particle_ids=np.arange(len(images)),
        true_labels=labels.astype(np.int64),
        groups=np.where(np.arange(len(images)) < n_train, LEARN, TEST),
        difficulty=np.zeros(len(images)),
        order=np.arange(len(images), dtype=np.float64),
        classes=[str(digit) for digit in range(10)],
        mirrored_class=list(range(10)),
        view=View(float(edge), in_nm=False, input_px=edge, read_px=edge, aligned=False),
        augmentation=_UNCHANGED,
        origin=origin,
    )


def _find(source: Path, name: str) -> Path:
    for path in (source / name, source / f"{name}.gz"):
        if path.is_file():
            return path
    raise SettingsError(f"--data: {source} has no {name} or {name}.gz")
