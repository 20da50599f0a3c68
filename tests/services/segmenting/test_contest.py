"""Methods compared on drawn images: scores, order, groups of one pixel size."""

import numpy as np
import pytest

from pipelines.segmentation.settings import SegmentationSettings
from services.segmenting.contest import by_pixel_size, enter, judge, laid_out, unseen
from services.segmenting.images import KnownImage
from services.segmenting.reference import Resolved


def disc_image(name, *, pixel_size_nm=2.0, level=150):
    """Three discs on a flat background, with their instances."""
    grey = np.full((70, 130), 50, np.uint8)
    ids = np.zeros(grey.shape, np.uint32)
    y, x = np.mgrid[:70, :130]
    for number, centre in enumerate((20, 65, 110), start=1):
        inside = (y - 35) ** 2 + (x - centre) ** 2 < 144
        grey[inside], ids[inside] = level, number
    return KnownImage(name, name, grey, ids, pixel_size_nm)


def contest(images, names, folder):
    with laid_out(images, folder) as mosaics:
        return [
            enter(Resolved(name, name), mosaics, SegmentationSettings(method=name))
            for name in names
        ]


def test_methods_are_ranked_by_what_they_found(tmp_path):
    (tmp_path / "blind.py").write_text(
        "import numpy as np\n"
        "from pipelines.segmentation.methods.otsu import Otsu\n"
        "class Blind(Otsu):\n"
        "    def heights(self, image, window, survey, settings):\n"
        "        return np.zeros(image.shape, np.uint16)\n"
        "METHOD = Blind()\n"
    )
    images = [disc_image("a"), disc_image("b", level=180)]
    names = [f"{tmp_path / 'blind.py'}:METHOD", "otsu"]

    (group,) = judge(images, contest(images, names, tmp_path / "work"))

    assert [standing.entrant.method.said for standing in group.standings] == ["otsu", names[0]]
    assert group.best.scores.f1_50 == 1.0
    assert group.best.scores.n_truth == 6
    assert group.standings[1].scores.f1_50 == 0.0
    assert group.best.mpx_per_s > 0
    assert group.pixel_sizes_nm == (2.0, 2.0)
    assert not (tmp_path / "work").exists()


def test_a_method_that_fails_loses_alone(tmp_path):
    images = [disc_image("a"), disc_image("b")]

    entrants = contest(images, ["cellpose:/gone", "otsu"], tmp_path / "work")

    assert "SettingsError" in entrants[0].failure
    (group,) = judge(images, entrants)
    assert [standing.entrant.method.said for standing in group.standings] == ["otsu"]


def test_images_of_different_pixel_sizes_are_judged_apart():
    sizes = [2.0, 2.4, 7.0, None, 2.6]
    images = [disc_image(str(i), pixel_size_nm=size) for i, size in enumerate(sizes)]

    groups = by_pixel_size(images)

    assert [[image.name for image in group] for group in groups] == [
        ["0", "1"], ["4"], ["2"], ["3"]
    ]  # fmt: skip


@pytest.mark.parametrize(("n_seen", "n_kept", "n_flattering"), [(1, 2, 0), (2, 3, 2), (0, 3, 0)])
def test_images_that_a_segmenter_learned_from_are_left_out_if_others_remain(
    n_seen, n_kept, n_flattering
):
    images = [disc_image(str(i), level=100 + i) for i in range(3)]
    learned = Resolved(
        "learned:/f", "learned:x/1", "w", frozenset(i.digest for i in images[:n_seen])
    )

    kept, n = unseen(images, [Resolved("otsu", "otsu"), learned])

    assert (len(kept), n) == (n_kept, n_flattering)
