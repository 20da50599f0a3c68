"""Nights that fit the segmenter anew: a better one is used, one from bad outlines is not."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.archive import open_archive
from pipelines.mosaic.ome_zarr import open_instances, write_mosaic
from pipelines.records import Window
from pipelines.segmenter.scores import score_pairs
from services.champions import read_champions
from services.nightly.journal import read_journal
from services.verbs import ingest, label, relabel, segment
from services.verbs.segmenter import fit
from tests.drawn_discs import EDGE_PX, draw, write_truth

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
    # Fitting on a machine that is busy with other things takes its time.
    pytest.mark.timeout(900),
]
SETTINGS = """
assume = "right"
epochs = 1
input_px = 24

[cluster]
workers = 1

[relabel]
settle_s = 0
segment_method = "learned:discs"
refit_segmenter = true
segmenter_truth = "{folder}/judged"

[segmenter.fit]
truth = "{folder}/drawn"
pixel_size_nm = 2
weak = false
epochs = 5
held_out_share = 0

[label]
include_flagged = true

[clean]
folds = 2
repeats = 1
"""


class Lab:
    """An instrument that writes images of discs, and a person who outlines some."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "archive"
        (folder / "scans").mkdir()
        write_truth(folder / "drawn", range(5))
        write_truth(folder / "judged", range(10, 16))
        (folder / "settings.toml").write_text(SETTINGS.format(folder=folder))
        self.truth = {}

    @property
    def archive(self):
        return open_archive(self.root)

    def scan(self, name, seed):
        image, self.truth[name] = draw(seed)
        path = self.folder / "scans" / f"{name}.ome.zarr"
        write_mosaic(path, image, pixel_size_nm=2.0)
        return path

    def night(self, run_id):
        flags = {
            "archive": self.root, "watch_dir": (self.folder / "scans",), "run_id": run_id,
        }  # fmt: skip
        settings = relabel.Settings.load("relabel", self.folder / "settings.toml", flags)
        return relabel.execute(settings), read_journal(self.archive, run_id)

    def spoil_outlines(self):
        """Somebody outlines the space between the discs instead."""
        for path in (self.folder / "drawn" / "labels").glob("*.png"):
            ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            bands = np.arange(EDGE_PX)[:, None] // 16 + 1
            cv2.imwrite(str(path), np.where(ids == 0, bands, 0).astype(np.uint16))

    def f1(self):
        found = {
            name: open_instances(self.archive.mosaic(name)).read(Window(0, 0, EDGE_PX, EDGE_PX))
            for name in self.truth
        }
        return score_pairs((self.truth[name], found[name]) for name in found).f1_50


@pytest.fixture(scope="module")
def lab(tmp_path_factory, embedded_ray):
    """Two scans, which were segmented by another segmenter and labelled before."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    sources = (lab.scan("a", 20), lab.scan("b", 21))
    ingest.execute(ingest.Settings(archive=lab.root, sources=sources))
    fit.execute(
        fit.Settings(
            archive=lab.root, name="other", truth=lab.folder / "drawn", pixel_size_nm=2,
            weak=False, epochs=5, held_out_share=0, seed=1,
        )
    )  # fmt: skip
    segment.execute(segment.Settings(archive=lab.root, method="learned:other", workers=1))
    label.execute(label.Settings(archive=lab.root, assume="right", include_flagged=True))
    return lab


@pytest.fixture(scope="module")
def first(lab):
    outcome, journal = lab.night("night-1")
    return lab.f1(), outcome, journal


@pytest.fixture(scope="module")
def second(lab, first):
    """Outlines are spoilt, and a scan is new."""
    lab.spoil_outlines()
    lab.scan("c", 22)
    return lab.night("night-2")


def test_a_better_segmenter_is_used_the_same_night(lab, first):
    f1, outcome, journal = first
    verdict = journal.values("segmenter")

    assert outcome.status == 0
    assert outcome.values["segmenter"] == "learned:discs/1"
    assert outcome.values["segmenter_promoted"] is True
    assert verdict["champion"] == "otsu"
    assert verdict["comparisons"][0]["low"] > 0
    assert f1 > 0.5
    assert read_champions(lab.archive)["discs"].reason == verdict["why"]


def test_labels_are_carried_over_to_its_segmentation(first):
    _, _, journal = first

    # There are 24 discs in either scan.
    assert journal.values("segment")["labels_carried"] > 24


def test_a_segmenter_that_learnt_from_spoilt_outlines_is_not_used(lab, second):
    outcome, journal = second

    assert outcome.status == 0
    assert journal.values("segmenter")["candidate"] == "learned:discs/2"
    assert outcome.values["segmenter_promoted"] is False
    assert "not promoted: -" in outcome.values["segmenter_why"]
    assert read_champions(lab.archive)["discs"].version == "1"
    # The new scan alone, by the one that stayed.
    assert journal.values("segment")["tiles"] == 1
    assert journal.values("segment")["method"] == "learned:discs/1"
    assert lab.f1() > 0.5


def test_the_nights_report_tells_of_both(lab, second):
    page = Path(second[0].values["report"]).read_text(encoding="utf-8")

    assert "Segmenter: not promoted: -" in page
    assert "learned:discs/2" in page


def test_with_nothing_new_nothing_is_fitted(lab, second):
    shutil.rmtree(lab.archive.scratch, ignore_errors=True)

    outcome, journal = lab.night("night-3")

    assert outcome.values["changes"] == 0
    assert journal.steps == ()
