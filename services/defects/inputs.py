"""What the verbs on defects read of an archive: mosaics, patches, known defects, sessions."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipelines.archive import Archive
from pipelines.errors import LabelError, SettingsError
from services.settings import ClusterSettings

if TYPE_CHECKING:
    from pipelines.defects.known import KnownDefect
    from pipelines.defects.patches import Patches
    from pipelines.mosaic.ome_zarr import MosaicInfo

#: As a value of --labels: the objects of this instance image of every mosaic.
_IMAGE_PREFIX = "labels/"
#: Height of what is read of a mosaic at once, in pixels.
_BAND_PX = 2048


class PatchSettings(ClusterSettings):
    """What all verbs on patches accept."""

    mosaic: tuple[str, ...] = Field((), description="only these mosaics (GLOB); repeatable")
    labels: str | None = Field(
        None,
        description="known defects: FILE.csv with image,y,x[,radius_px][,kind] or "
        "image,y0,x0,y1,x1 (px), or labels/NAME for an instance image of the mosaics",
    )
    sessions: Path | None = Field(
        None, description="FILE.csv with image,session; by default every mosaic is its own session"
    )
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )


class GridSettings(PatchSettings):
    """What verbs accept that cut patches to learn from."""

    patch_px: int = Field(64, ge=16, le=512, description="edge of a patch, in pixels")
    stride_px: int | None = Field(
        None, ge=1, description="distance of patches; their edge by default"
    )
    false_alarms: float = Field(
        1.0, gt=0, description="patches that may be flagged in a clean image, on average"
    )


@dataclass(frozen=True)
class DefectData:
    """Patches of mosaics, and what is known of them.

    Attributes
    ----------
    infos : tuple of MosaicInfo
        The mosaics.
    patches : Patches
        Those that were read.
    kinds : (N,) ndarray of str
        Kind of the known defect in each patch; "" for none.
    known : mapping of str to list of KnownDefect
        By mosaic.
    label_digest : str
        Digest of what is known; "" where nothing was given.
    """

    infos: "tuple[MosaicInfo, ...]"
    patches: "Patches"
    kinds: np.ndarray
    known: "dict[str, list[KnownDefect]]"
    label_digest: str


def read_data(
    archive: Archive,
    names: Sequence[str],
    settings: PatchSettings,
    *,
    patch_px: int,
    stride_px: int,
    most_patches: int,
) -> DefectData:
    """Read the patches of mosaics.

    Where there are more than ``most_patches``, some are drawn by lot; of those with known defects
    none is left out.

    Raises
    ------
    SettingsError, LabelError, MosaicError
        Naming what cannot be used.
    """
    from pipelines.defects.known import mark
    from pipelines.defects.patches import make_patches, plan_grid
    from pipelines.mosaic.ome_zarr import open_mosaic
    from pipelines.randomness import generator

    infos = tuple(open_mosaic(archive.mosaic(name)).info for name in names)
    known, digest = read_labels(archive, settings.labels, names)
    session_of = read_sessions(settings.sessions, names)
    grids = [plan_grid(i.shape, patch_px=patch_px, stride_px=stride_px) for i in infos]
    share = min(1.0, most_patches / sum(len(grid) for grid in grids))
    parts: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for info, grid in zip(infos, grids, strict=True):
        bad, doubtful, kinds = mark(grid, patch_px, known.get(info.name, []))
        kept = bad | (generator(settings.seed, "patches", info.name).random(len(grid)) < share)
        pixels = _read_patches(archive, info, grid[kept], patch_px)
        parts.append((info.name, pixels, grid[kept], bad[kept], doubtful[kept], kinds[kept]))
    counts = [len(part[1]) for part in parts]
    images = np.repeat([part[0] for part in parts], counts)
    patches = make_patches(
        np.concatenate([part[1] for part in parts]),
        images=images,
        sessions=np.array([session_of[name] for name in images]),
        origins_yx=np.concatenate([part[2] for part in parts]),
        is_defect=np.concatenate([part[3] for part in parts]),
        is_doubtful=np.concatenate([part[4] for part in parts]),
    )
    check_patches(patches)
    return DefectData(infos, patches, np.concatenate([p[5] for p in parts]), known, digest)


def _read_patches(
    archive: Archive, info: "MosaicInfo", origins_yx: np.ndarray, patch_px: int
) -> np.ndarray:
    """Read patches of a mosaic, given in row-major order, a band of it at a time."""
    from pipelines.defects.patches import cut
    from pipelines.mosaic.ome_zarr import open_mosaic
    from pipelines.records import Window

    mosaic = open_mosaic(archive.mosaic(info.name))
    height, width = info.shape
    parts = [np.empty((0, patch_px, patch_px), np.float32)]
    for y0 in range(0, height, _BAND_PX):
        own = origins_yx[(origins_yx[:, 0] >= y0) & (origins_yx[:, 0] < y0 + _BAND_PX)]
        if len(own):
            band = Window(y0, 0, min(y0 + _BAND_PX + patch_px, height), width)
            parts.append(cut(mosaic.read(band), own - np.array([y0, 0]), patch_px))
    return np.concatenate(parts)


def check_patches(patches: "Patches") -> None:
    """Refuse patches that nothing can be learnt from.

    Raises
    ------
    SettingsError
        If none is normal, or all are constant.
    """
    from pipelines.defects.patches import is_constant

    if not patches.is_clean.any():
        raise SettingsError(
            f"--labels leave no normal patches to learn from: all {len(patches)} hold a defect "
            f"or touch one"
        )
    flat = is_constant(patches.pixels)
    if flat.all():
        raise SettingsError(
            f"--mosaic: all {len(patches)} patches are constant: there is nothing to see in them"
        )


def read_labels(
    archive: Archive, labels: str | None, names: Sequence[str]
) -> "tuple[dict[str, list[KnownDefect]], str]":
    """Read what is known of defects, by mosaic, and its digest.

    A file may speak of any mosaic of the archive, also of those that are not chosen.
    """
    from pipelines.defects.known import known_in_mask, read_known
    from pipelines.digests import digest_json
    from pipelines.mosaic.ome_zarr import has_instances, open_instances, open_mosaic
    from pipelines.records import Window

    if labels is None:
        return {}, ""
    found: list[KnownDefect] = []
    if labels.startswith(_IMAGE_PREFIX):
        image = labels.removeprefix(_IMAGE_PREFIX)
        for name in names:
            path = archive.mosaic(name)
            if not has_instances(path, image):
                raise LabelError(f"--labels: mosaic {name} has no {labels}")
            whole = Window(0, 0, *open_mosaic(path).info.shape)
            found += known_in_mask(name, open_instances(path, image).read(whole))
    else:
        found = read_known(Path(labels), archive.mosaic_names())
    by_name: dict[str, list[KnownDefect]] = defaultdict(list)
    for defect in found:
        by_name[defect.image].append(defect)
    return dict(by_name), digest_json([list(vars(defect).values()) for defect in found])


def read_sessions(path: Path | None, names: Sequence[str]) -> dict[str, str]:
    """Return the session of every mosaic: its own name where nothing is said.

    Raises
    ------
    SettingsError
        If the file cannot be read, or a mosaic is not in it.
    """
    if path is None:
        return {name: name for name in names}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(row["image"], row["session"]) for row in csv.DictReader(file)]
    except OSError as error:
        raise SettingsError(f"--sessions: {path} cannot be read: {error.strerror}") from error
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise SettingsError(f"--sessions: {path} must have the columns image,session") from None
    given = dict(rows)
    if missing := [name for name in names if name not in given]:
        raise SettingsError(f"--sessions: {path} does not name mosaic {missing[0]}")
    return {name: given[name] for name in names}
