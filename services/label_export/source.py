"""What an export reads: the label rows of a version, mosaic by mosaic, and their instances."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.archive import Archive
from pipelines.mosaic.ome_zarr import InstanceImage, open_instances
from pipelines.tables import read_rows
from services.label_carrying import image_of
from services.label_versions import LabelVersion


@dataclass(frozen=True)
class LabelledMosaic:
    """The label rows of one mosaic, all of one segmentation, and its instance image.

    ``n_left_out`` counts rows of other segmentations, which belong to no instance of the image.
    """

    name: str
    rows: pa.Table
    instances: InstanceImage
    n_left_out: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        height, width = self.instances.level(0).shape
        return int(height), int(width)


@dataclass(frozen=True)
class ExportSource:
    """A label version that is exported."""

    archive: Archive
    version: LabelVersion

    def mosaics(self) -> list[str]:
        """Names of the mosaics with a label row, sorted."""
        rows = read_rows(self.archive, "labels", columns=["mosaic"], version=self.version.version)
        return sorted(pc.unique(rows["mosaic"]).to_pylist())

    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        rows = read_rows(self.archive, "labels", columns=["label"], version=self.version.version)
        return sorted(pc.unique(rows["label"].drop_null()).to_pylist())

    def rows(self) -> Iterator[pa.Table]:
        """Yield the rows of each mosaic, sorted by instance."""
        for name in self.mosaics():
            where = [("mosaic", "=", name)]
            found = read_rows(self.archive, "labels", filters=where, version=self.version.version)
            yield found.sort_by("instance")

    def labelled(self) -> Iterator[LabelledMosaic]:
        """Yield the mosaics whose instances are there, with the rows that belong to them."""
        for rows in self.rows():
            name = rows["mosaic"][0].as_py()
            counts = pc.value_counts(rows["segmentation"].combine_chunks()).to_pylist()
            for found in sorted(counts, key=lambda count: -count["counts"]):
                image = image_of(self.archive, name, found["values"])
                if image is not None:
                    own = rows.filter(pc.equal(rows["segmentation"], found["values"]))
                    yield LabelledMosaic(
                        name,
                        own,
                        open_instances(self.archive.mosaic(name), image),
                        rows.num_rows - own.num_rows,
                    )
                    break
