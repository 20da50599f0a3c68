"""From five outlined images, where thresholds fail, to mosaics segmented by what was learned."""

import pytest

from pipelines.archive import create_archive
from pipelines.mosaic.ome_zarr import open_instances, write_mosaic
from pipelines.records import Window
from pipelines.segmenter.scores import score_pairs
from services.cli import run
from tests.drawn_discs import EDGE_PX, draw, write_truth

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
    # Fitting on a machine that is busy with other things takes its time.
    pytest.mark.timeout(900),
]

#: What the learned method must be better by, in F1 at IoU 0.5, and how good it must be.
MARGIN, LEAST_F1 = 0.3, 0.5


def f1_of(archive, truth):
    """Score the published instances of all mosaics."""
    found = {
        name: open_instances(archive.mosaic(name)).read(Window(0, 0, EDGE_PX, EDGE_PX))
        for name in truth
    }
    return score_pairs((truth[name], found[name]) for name in truth).f1_50


def test_a_lab_teaches_it_what_thresholds_cannot_find(embedded_ray, tmp_path, capsys):
    write_truth(tmp_path / "drawn", range(5))
    write_truth(tmp_path / "judged", range(10, 13))
    archive = create_archive(tmp_path / "archive")
    truth = {}
    for seed in (20, 21):
        image, truth[f"scan-{seed}"] = draw(seed)
        write_mosaic(archive.mosaic(f"scan-{seed}"), image, pixel_size_nm=2.0)
    common = ["--archive", str(archive.root)]
    images = ["--pixel-size-nm", "2", "--truth"]

    assert run(["segment", *common]) == 0
    start = f1_of(archive, truth)
    status = run(
        ["segmenter", "fit", *common, *images, str(tmp_path / "drawn"), "--name", "discs",
         "--no-weak", "--epochs", "8", "--steps-per-epoch", "25"]
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    assert run(["segmenter", "evaluate", *common, *images, str(tmp_path / "judged")]) == 0
    judged = capsys.readouterr()
    assert run(["segment", *common, "--method", "auto"]) == 0
    chosen = capsys.readouterr()
    learned = f1_of(archive, truth)
    assert run(["segmenter", "list", *common]) == 0
    listed = capsys.readouterr()

    # Learning must beat the classical start, or it was for nothing.
    assert learned >= start + MARGIN, f"F1 {learned:.3f}, without learning {start:.3f}"
    assert learned >= LEAST_F1
    assert "best=learned:discs/1" in judged.out
    assert "seen_images=0" in judged.out
    assert "learned:discs/1, the best of 4 at 2 nm" in chosen.err
    assert "method=learned:discs/1" in chosen.out
    assert "best candidate" in listed.out
    (page,) = archive.reports.glob("segmenters-*.html")
    assert "learned:discs/1" in page.read_text()
