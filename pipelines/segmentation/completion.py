"""From the parts of all tiles to a finished mosaic: particles, their table rows, their ids."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.digests import digest_json
from pipelines.mosaic.ome_zarr import InstanceWriter, Mosaic, MosaicInfo, create_instances
from pipelines.records import Window
from pipelines.segmentation.measure import Columns, choose_particles, measure_particles
from pipelines.segmentation.painting import INSTANCES, paint, set_aside
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.settings import RESULT_VERSION, SegmentationSettings
from pipelines.segmentation.stitching import stitch
from pipelines.segmentation.survey import Survey


@dataclass(frozen=True)
class Solution:
    """Which particles a mosaic has.

    Attributes
    ----------
    digest : str
        Digest of the segmentation.
    columns : dict of arrays
        Columns of the particles table.
    ids : tuple of (s,) uint32 arrays
        For each tile, the id of each of its segments; 0 for those that did not stay.
    summary : dict
        Counts and quality, as JSON-like values.
    """

    digest: str
    columns: Columns
    ids: tuple[NDArray[np.uint32], ...]
    summary: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Write down all but the ids."""
        sink = io.BytesIO()
        table = pa.table(self.columns).replace_schema_metadata(
            {"digest": self.digest, "summary": json.dumps(self.summary)}
        )
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        table = pa.ipc.open_stream(data).read_all()
        about = table.schema.metadata
        columns = {name: table[name].to_numpy() for name in table.column_names}
        return cls(about[b"digest"].decode(), columns, (), json.loads(about[b"summary"]))


def solve(
    info: MosaicInfo,
    segmentation: str,
    tiles: Sequence[TileParts],
    gaps: Sequence[Window],
    survey: Survey,
    settings: SegmentationSettings,
) -> Solution:
    """Decide which particles a mosaic has.

    Parameters
    ----------
    info : MosaicInfo
        The mosaic.
    segmentation : str
        Digest of all that decides its instances, but for the gaps.
    tiles : sequence of TileParts
        The parts of its tiles, in any order.
    gaps : sequence of Window
        Cores that could not be segmented.
    survey : Survey
        What the tiles were judged by.
    settings : SegmentationSettings
        What the user wants.
    """
    shape, pixel_size_nm = info.shape, info.pixel_size_nm
    particles = stitch(tiles, shape, settings.split_rule, gaps=gaps)
    keep = choose_particles(particles, shape, settings, pixel_size_nm)
    ids = np.where(keep, np.cumsum(keep), 0).astype(np.uint32)
    missing = sorted(list(gap) for gap in gaps)
    digest = digest_json([segmentation, missing]) if missing else segmentation
    columns = measure_particles(
        particles,
        keep,
        survey,
        mosaic=info.name,
        shape=shape,
        pixel_size_nm=pixel_size_nm,
        segmentation=digest,
    )
    summary = {
        "digest": digest,
        "instances": int(keep.sum()),
        "crossing_seams": int((particles.crosses_seam & keep).sum()),
        "links": particles.n_links,
        "uncertain": particles.n_uncertain,
        "dropped": int((~keep).sum()),
        "bright": survey.bright,
        "gaps": missing,
    }
    return Solution(digest, columns, tuple(ids[s] for s in particles.segments), summary)


def begin_instances(
    mosaic: Mosaic, solution: Solution, settings: SegmentationSettings, core_px: int
) -> InstanceWriter:
    """Begin the instance image; another segmentation that is published gets a name of its own."""
    set_aside(mosaic.path, solution.digest)
    return create_instances(
        mosaic.path,
        INSTANCES,
        shape=mosaic.info.shape,
        pixel_size_nm=mosaic.info.pixel_size_nm,
        shard_px=core_px,
        attributes={
            "segmentation": solution.digest,
            "mosaic_digest": mosaic.info.digest,
            "result_version": RESULT_VERSION,
            "settings": settings.to_json(),
            "instances": solution.summary["instances"],
            "gaps": solution.summary["gaps"],
        },
    )


def write_tile(writer: InstanceWriter, parts: TileParts, ids: NDArray[np.uint32]) -> None:
    """Paint a core's ids and write it, with the levels that it covers."""
    writer.write_core(parts.core, paint(parts, ids))
