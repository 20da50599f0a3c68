from pathlib import Path

import numpy as np
import pytest

from pipelines.archive import create_archive, particle_id
from pipelines.mosaic.ome_zarr import create_instances, write_mosaic
from pipelines.records import Window
from pipelines.segmentation.scoring import score_mosaic
from pipelines.tables import append_rows, replace_rows, to_table
from services.label_store import commit_labels

#: An F: no rotation makes it its own mirror image.
GLYPH = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
    ],
    dtype=bool,
)


class Scene:
    """An archive that is filled by hand."""

    def __init__(self, root: Path) -> None:
        self.archive = create_archive(root)

    def add_mosaic(
        self,
        name: str,
        places: tuple[tuple[int, int], ...] = ((8, 8), (8, 60), (50, 30)),
        *,
        shape: tuple[int, int] = (96, 128),
        pixel_size_nm: float | None = 2.0,
        crosses_seam: bool = False,
    ) -> list[int]:
        """Add a mosaic with the glyph, four times as large, at each place; return particle ids."""
        glyph = np.kron(GLYPH, np.ones((4, 4), bool))
        image = np.full(shape, 40, np.uint8)
        instances = np.zeros(shape, np.uint32)
        rows = []
        for instance, (y0, x0) in enumerate(places, start=1):
            window = Window(y0, x0, y0 + glyph.shape[0], x0 + glyph.shape[1])
            image[window.slices][glyph] = 200
            instances[window.slices][glyph] = instance
            diameter = np.sqrt(4 * glyph.sum() / np.pi)
            rows.append(
                {
                    "particle_id": particle_id(name, instance),
                    "mosaic": name,
                    "instance": instance,
                    "segmentation": "s1",
                    "centroid_y_px": y0 + 11.5,
                    "centroid_x_px": x0 + 11.5,
                    "orientation_rad": 0.0,
                    "major_axis_px": 24.0,
                    "equivalent_diameter_px": diameter,
                    "equivalent_diameter_nm": diameter * (pixel_size_nm or np.nan),
                    "touches_edge": False,
                    "crosses_seam": crosses_seam,
                    "low_contrast": False,
                }
            )
        write_mosaic(self.archive.mosaic(name), image, pixel_size_nm=pixel_size_nm)
        writer = create_instances(
            self.archive.mosaic(name),
            "instances",
            shape=shape,
            pixel_size_nm=pixel_size_nm,
            shard_px=512,
            chunk_px=512,
            attributes={},
        )
        writer.write_core(Window(0, 0, *shape), instances)
        writer.finish()
        append_rows(self.archive, "particles", to_table("particles", rows))
        return [row["particle_id"] for row in rows]

    def label(
        self, name: str, labels: list[str | None], *, segmentation: str = "s1", **more
    ) -> None:
        """Commit given labels for particles of a mosaic, in the order of their instances."""
        rows = [
            {
                "particle_id": particle_id(name, instance),
                "mosaic": name,
                "instance": instance,
                "segmentation": segmentation,
                "label": given,
                "state": "given",
                "source": "assume",
                "method": "assume",
            }
            for instance, given in enumerate(labels, start=1)
        ]
        commit_labels(
            self.archive,
            to_table("labels", rows),
            method="assume",
            author="ada",
            run_id="r1",
            code_version="0.1.0",
            **more,
        )

    def predict(self, name: str, right: list[float], *, model_uri: str = "models:/m/1") -> None:
        """Write probabilities of "right" for particles of a mosaic, in the order of instances."""
        rows = [
            {
                "particle_id": particle_id(name, instance),
                "mosaic": name,
                "instance": instance,
                "label": "right" if p >= 0.5 else "left",
                "confidence": max(p, 1 - p),
                "classes": ["left", "right"],
                "probabilities": [1 - p, p],
                "model_uri": model_uri,
                "label_version": 0,
            }
            for instance, p in enumerate(right, start=1)
        ]
        where = f"mosaic = '{name}' and model_uri = '{model_uri}'"
        replace_rows(self.archive, "predictions", to_table("predictions", rows), where=where)

    def know(self, name: str, labels: list[str], *, determinable: list[bool] | None = None) -> None:
        """Write the true labels of a mosaic's instances, which are its truth too."""
        rows = [
            {
                "mosaic": name,
                "truth_instance": instance,
                "label": true,
                "determinable": determinable is None or determinable[instance - 1],
            }
            for instance, true in enumerate(labels, start=1)
        ]
        append_rows(self.archive, "truth", to_table("truth", rows))

    def score(self, name: str):
        """Score the instances of a mosaic against themselves: all found, each its own match."""
        return score_mosaic(self.archive.mosaic(name), truth="instances")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "archive")


@pytest.fixture(scope="module")
def shared_scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A scene that all tests of a module share, as drawing a report takes seconds."""
    return Scene(tmp_path_factory.mktemp("scene") / "archive")
