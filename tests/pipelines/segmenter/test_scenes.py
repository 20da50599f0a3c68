import numpy as np

from pipelines.segmenter.material import write_scenes
from pipelines.segmenter.scenes import draw_scene


def test_a_scene_is_the_same_for_the_same_seed_and_number():
    one, again, other = draw_scene(1, 4), draw_scene(1, 4), draw_scene(1, 5)

    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.instances, again.instances)
    assert not np.array_equal(one.image, other.image)


def test_scenes_show_their_objects_bright_and_dark():
    brighter = []
    for number in range(16):
        scene = draw_scene(2, number, edge_px=160)
        inside = scene.instances > 0
        assert 0.01 < inside.mean() < 0.99
        brighter.append(np.median(scene.image[inside]) > np.median(scene.image[~inside]))

    assert 3 < sum(brighter) < 13


def test_on_a_support_objects_stand_out_less_than_what_is_between_them_varies():
    stands_out = []
    for number in range(8):
        scene = draw_scene(2, number, edge_px=200, on_support=True)
        inside = scene.instances > 0
        between = np.median(scene.image[inside]) - np.median(scene.image[~inside])
        stands_out.append(abs(between) / float(scene.image[~inside].std()))

    assert np.median(stands_out) < 1.5


def test_scenes_that_are_there_are_not_drawn_again(tmp_path):
    first = write_scenes(tmp_path, 2, seed=3)
    before = first[0].image.stat().st_mtime_ns

    assert write_scenes(tmp_path, 2, seed=3) == first
    assert first[0].image.stat().st_mtime_ns == before


def test_scenes_on_a_support_do_not_replace_others(tmp_path):
    plain = write_scenes(tmp_path, 1, seed=3)
    supported = write_scenes(tmp_path, 1, seed=3, on_support=True)

    assert not np.array_equal(np.load(plain[0].image), np.load(supported[0].image))
