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


def test_scenes_that_are_there_are_not_drawn_again(tmp_path):
    first = write_scenes(tmp_path, 2, seed=3)
    before = first[0].image.stat().st_mtime_ns

    assert write_scenes(tmp_path, 2, seed=3) == first
    assert first[0].image.stat().st_mtime_ns == before
