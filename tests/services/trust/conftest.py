import numpy as np
import pytest

from pipelines.archive import create_archive, particle_id
from pipelines.mosaic.ngff import write_group
from pipelines.tables import replace_rows, to_table

#: Distance between the particles of a row, and edge of their boxes.
SPACING_PX, BOX_PX = 40, 24


class Mosaics:
    """An archive whose particles lie in a row: tables and segmentation digests, without pixels."""

    def __init__(self, root):
        self.archive = create_archive(root)

    def segment(self, name, segmentation, n, *, shift_px=0, **columns):
        """Enter ``n`` particles as the published segmentation of a mosaic."""
        attributes = {"tessera": {"segmentation": segmentation}}
        write_group(self.archive.mosaic(name) / "labels" / "instances", attributes)
        write_group(self.archive.mosaic(name), {})
        instances = np.arange(1, n + 1)
        x0 = (instances - 1) * SPACING_PX + shift_px
        rows = to_table(
            "particles",
            {
                "particle_id": [particle_id(name, i) for i in instances],
                "mosaic": [name] * n,
                "instance": instances,
                "segmentation": [segmentation] * n,
                "bbox_y0_px": np.zeros(n),
                "bbox_x0_px": x0,
                "bbox_y1_px": np.full(n, BOX_PX),
                "bbox_x1_px": x0 + BOX_PX,
                "equivalent_diameter_px": 10.0 + instances,
                "touches_edge": [False] * n,
                "low_contrast": [False] * n,
                **columns,
            },
        )
        replace_rows(self.archive, "particles", rows, where=f"mosaic = '{name}'")
        return self.archive


@pytest.fixture
def mosaics(tmp_path):
    return Mosaics(tmp_path / "a")


@pytest.fixture
def sheet(tmp_path):
    """Write a filled-in sheet: (mosaic, instance) -> label."""

    def write(labels, **more):
        lines = [
            ",".join([mosaic, str(instance), label, *more.values()])
            for (mosaic, instance), label in labels.items()
        ]
        path = tmp_path / "sheet.csv"
        path.write_text("\n".join([",".join(["mosaic", "instance", "label", *more]), *lines]))
        return path

    return write
