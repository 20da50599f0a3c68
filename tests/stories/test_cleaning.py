"""A mosaic assumed to be of one hand, and what cleaning makes of that assumption."""

import json

import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.mosaic.ome_zarr import write_mosaic

LEARNING = ("--epochs", 12, "--input-px", 32, "--learning-rate", 0.01)


@pytest.mark.ray
# Ray Data copies its settings, and the copy sets those that it deprecates itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
def test_an_assumption_is_cleaned_and_the_proposals_wait_for_a_person(
    embedded_ray, typed, tmp_path
):
    archive = ("--archive", tmp_path / "a")
    for command in [
        ("simulate", tmp_path / "m", "--preset", "easy", "--size-px", 1536, "--particles", 140,
         "--left-fraction", 0.2, "--workers", 1),
        ("ingest", tmp_path / "m", *archive),
        ("segment", *archive, "--workers", 1),
        ("label", *archive, "--assume", "right"),
    ]:  # fmt: skip
        made = typed(*command)
        assert made.returncode == 0, made.stderr

    cleaned = typed("clean", *archive, "--folds", 3, "--repeats", 1, *LEARNING, "--json")

    assert cleaned.returncode == 0, cleaned.stderr
    result = json.loads(cleaned.stdout)
    assert (result["version"], result["parent"]) == (1, 0)
    assert result["proposed"] > 0
    assert result["accepted"] == 0
    assert result["precision"] > 0.7
    assert result["recall"] > 0.7
    assert result["error_rate_after"] < result["true_error_rate"] / 2
    page = (tmp_path / "a" / "reports").glob("clean-*.html")
    assert any("Labels found wrong" in path.read_text(encoding="utf-8") for path in page)


def test_labels_that_are_not_there_cannot_be_cleaned(typed, tmp_path):
    archive = create_archive(tmp_path / "a")
    write_mosaic(archive.mosaic("m"), np.ones((60, 80), np.uint8), pixel_size_nm=2.0)

    result = typed("clean", "--archive", tmp_path / "a")

    assert result.returncode == 2
    assert result.stderr.strip() == (
        f"tessera: archive {tmp_path / 'a'} has no labels: run tessera label first"
    )
