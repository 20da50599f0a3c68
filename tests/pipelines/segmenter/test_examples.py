import numpy as np
import pytest
import torch

from pipelines.errors import SettingsError
from pipelines.segmenter.examples import Patches, data_digest, read_examples
from pipelines.segmenter.material import write_source


def test_a_batch_depends_on_plan_step_and_place_alone(disc_sources, tiny):
    plan = tiny(disc_sources)
    whole = Patches(read_examples(plan), plan).batch(7, [0, 1])
    part = Patches(read_examples(plan), plan).batch(7, [1])

    for all_of_them, one in zip(whole, part, strict=True):
        assert torch.equal(all_of_them[1:], one)


def test_another_step_or_seed_gives_other_patches(disc_sources, tiny):
    plan, other = tiny(disc_sources), tiny(disc_sources, seed=1)
    patches = Patches(read_examples(plan), plan)

    first = patches.batch(0, [0])[0]

    assert not torch.equal(first, patches.batch(1, [0])[0])
    assert not torch.equal(first, Patches(read_examples(other), other).batch(0, [0])[0])


def test_objects_of_any_size_come_at_the_working_width(tmp_path, discs, tiny):
    image, ids = discs(0)
    large = [np.kron(a, np.ones((5, 5), a.dtype)) for a in (image, ids)]
    sources = [write_source(tmp_path, "large", "truth", *large)]
    plan = tiny(sources, scale_jitter=1.0, copy_paste=0.0)

    (example,) = read_examples(plan)
    fields = Patches([example], plan).batch(0, range(2))[1]

    assert example.original_width_px == pytest.approx(5 * 14, rel=0.1)
    assert example.width_px == pytest.approx(14, rel=0.1)
    # Discs of 14 pixels, seen as 14 pixels: hardly an octave off anywhere.
    inside = fields[:, 0] > 0
    assert fields[:, 3][inside].abs().median() < 0.3


def test_kinds_share_a_batch_as_planned(tmp_path, discs, tiny):
    image, ids = discs(0)
    sources = [
        write_source(tmp_path, "drawn", "truth", image, ids),
        write_source(
            tmp_path, "weak", "weak", image, ids, confidence=np.full(ids.shape, 51, np.uint8)
        ),
    ]
    plan = tiny(sources, batch_size=8, shares={"truth": 0.25, "weak": 0.75}, copy_paste=0.0)

    weights = Patches(read_examples(plan), plan).batch(0, range(8))[2][:, 0].amax(dim=(1, 2))

    assert sorted(weights.tolist()) == pytest.approx([0.2] * 6 + [1.0] * 2)


@pytest.mark.parametrize(
    ("image", "ids", "message"),
    [
        (np.zeros((8, 9)), np.zeros((8, 8), int), r"must have the shape of its image, \(8, 9\)"),
        (np.zeros((8, 8, 3)), np.zeros((8, 8), int), r"must be grey, \(H, W\), got shape"),
        (np.zeros((8, 8)), np.zeros((8, 8), int), "got only background in all 1 images"),
    ],
)
def test_sources_that_cannot_be_learned_from_are_refused(tmp_path, tiny, image, ids, message):
    source = write_source(tmp_path, "bad", "truth", image, ids)

    with pytest.raises(SettingsError, match=message):
        read_examples(tiny([source]))


def test_masks_that_are_no_ids_are_refused(tmp_path, discs, tiny):
    source = write_source(tmp_path, "bad", "truth", *discs(0))
    np.save(source.instances, discs(0)[1].astype(float))

    with pytest.raises(SettingsError, match="instances of bad must be integers, got float64"):
        read_examples(tiny([source]))


def test_other_pixels_are_other_data(disc_sources, tiny):
    plan = tiny(disc_sources)
    before = data_digest(plan)
    image = np.load(disc_sources[0].image)
    image[0, 0] += 1
    np.save(disc_sources[0].image, image)

    assert data_digest(plan) != before


def test_an_image_without_objects_is_looked_at_like_the_others(tmp_path, discs, tiny):
    image, ids = discs(0)
    sources = [
        write_source(tmp_path, "some", "truth", image, ids),
        write_source(tmp_path, "none", "truth", image, np.zeros_like(ids)),
    ]

    some, none = read_examples(tiny(sources))

    assert none.width_px == some.width_px
