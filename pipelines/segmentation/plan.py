"""What a segmentation will do, said before anything is done."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.errors import ArchiveError, SettingsError
from pipelines.ledger import DONE, Entry, read_entries, work_key
from pipelines.mosaic.ome_zarr import Mosaic, MosaicInfo, has_instances, open_instances, open_mosaic
from pipelines.segmentation.method import load_method, method_identity
from pipelines.segmentation.scratch import Scratch
from pipelines.segmentation.settings import RESULT_VERSION, SegmentationSettings, check_tiling
from pipelines.segmentation.tile_plans import TilePlans, look_for_tiles
from pipelines.segmentation.tile_task import STAGE, WHOLE


@dataclass(frozen=True)
class MosaicPlan:
    """One mosaic to be segmented.

    ``segmentation`` is the digest of what decides its instances, ``key`` that and its name.
    """

    mosaic: Mosaic
    key: str
    segmentation: str
    scratch: Scratch
    tiles: TilePlans

    @property
    def is_one_tile(self) -> bool:
        """Whether one tile is all, which is then finished at once."""
        return len(self.tiles) == 1

    @property
    def name(self) -> str:
        """The mosaic's name."""
        return self.mosaic.info.name


@dataclass(frozen=True)
class SegmentationPlan:
    """What will be done.

    Attributes
    ----------
    settings : SegmentationSettings
        What decides the result.
    core_px, halo_px : int
        How mosaics are cut, which does not change the result.
    mosaics : tuple of MosaicPlan
        Those to be segmented.
    finished : tuple of Entry
        Ledger rows of those that need nothing.
    """

    settings: SegmentationSettings
    core_px: int
    halo_px: int
    mosaics: tuple[MosaicPlan, ...]
    finished: tuple[Entry, ...]

    @property
    def n_tiles(self) -> int:
        """Number of tiles of the mosaics to be segmented."""
        return sum(len(mosaic.tiles) for mosaic in self.mosaics)

    @property
    def n_tiles_left(self) -> int:
        """Number of tiles to be segmented."""
        return sum(mosaic.tiles.n_left for mosaic in self.mosaics)


def plan_segmentation(
    archive: Archive,
    names: Sequence[str],
    settings: SegmentationSettings,
    *,
    core_px: int = 2048,
    halo_px: int | None = None,
    retry_quarantined: bool = False,
) -> SegmentationPlan:
    """Plan the segmentation of some mosaics of an archive.

    Parameters
    ----------
    archive : Archive
        The archive.
    names : sequence of str
        Names of mosaics in it.
    settings : SegmentationSettings
        What decides the result.
    core_px : int
        Edge of the cores: a power of two.
    halo_px : int, optional
        What is read around a core; what the settings need, by default.
    retry_quarantined : bool
        Whether to try again what is in quarantine.

    Raises
    ------
    SettingsError
        If the settings cannot be used, or not with one of the mosaics.
    ArchiveError
        If there is no mosaic.
    """
    method = load_method(settings.method)
    halo_px = check_tiling(core_px, halo_px, support_px=method.support_px(settings))
    if not names:
        raise ArchiveError(f"archive {archive.root} holds no mosaic to segment")
    identity = {**settings.to_json(), "method": method_identity(settings.method)}
    entries = read_entries(archive, STAGE, unit=WHOLE)
    to_do, finished = [], []
    for name in names:
        mosaic = open_mosaic(archive.mosaic(name))
        _check_units(mosaic.info, settings)
        segmentation = work_key(STAGE, RESULT_VERSION, mosaic.info.digest, identity, WHOLE)
        # Two mosaics may hold the same pixels; each has its own particles all the same.
        key = digest_json([segmentation, name])
        entry = entries.get(key)
        if entry and _stands(mosaic, entry) and not (retry_quarantined and n_gaps(entry)):
            finished.append(entry)
        else:
            scratch = Scratch(archive.scratch / STAGE / key)
            tiles = TilePlans(
                name, key, mosaic.path, scratch, segmentation, mosaic.info.shape, core_px
            )
            to_do.append(MosaicPlan(mosaic, key, segmentation, scratch, tiles))
    look_for_tiles(archive, [m.tiles for m in to_do], retry_quarantined=retry_quarantined)
    return SegmentationPlan(settings, core_px, halo_px, tuple(to_do), tuple(finished))


def n_gaps(entry: Entry) -> int:
    """Count the tiles that a finished mosaic lacks because they are in quarantine."""
    return len(_result(entry).get("gaps", ()))


def _stands(mosaic: Mosaic, entry: Entry) -> bool:
    """Tell whether what the ledger says was written is still what is published."""
    if entry.status != DONE or not has_instances(mosaic.path):
        return False
    published = open_instances(mosaic.path).attributes.get("segmentation")
    return bool(published == _result(entry).get("digest"))


def _result(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry.result)
    return found


def _check_units(info: MosaicInfo, settings: SegmentationSettings) -> None:
    wanted = settings.min_diameter_nm is not None or settings.max_diameter_nm is not None
    if wanted and info.pixel_size_nm is None:
        raise SettingsError(f"a diameter in nm needs a pixel size, and mosaic {info.name} has none")
