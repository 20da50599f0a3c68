import math
from itertools import pairwise

import numpy as np
import pytest

from pipelines.segmentation.learned.widths import (
    NARROWEST_PX,
    WIDEST_PX,
    Trial,
    choose_width_px,
    instance_areas,
    refine_width_px,
    trial_widths_px,
    typical_width_px,
)


def test_the_typical_width_is_that_of_a_disc_of_equal_area():
    y, x = np.mgrid[:40, :80]
    instances = ((y - 20) ** 2 + (x - 20) ** 2 < 100).astype(int)
    instances += 2 * ((y - 20) ** 2 + (x - 60) ** 2 < 100)

    assert typical_width_px(instance_areas(instances)) == pytest.approx(20, rel=0.03)


def test_nothing_has_no_width():
    assert math.isnan(typical_width_px(np.array([])))


def test_what_looks_alike_at_two_steps_is_chosen_over_a_large_thing_at_one():
    whole = [Trial(20.0, 24.0, peak=0.65, n=20), Trial(32.0, 26.0, peak=0.65, n=20)]
    one_large = [Trial(128.0, 90.0, peak=0.5, n=20), Trial(200.0, 190.0, peak=0.9, n=20)]

    assert choose_width_px([*whole, *one_large]) == pytest.approx(math.sqrt(24 * 26))


def test_grain_that_is_narrow_at_every_step_is_not_chosen_over_objects():
    grain = [Trial(6.0, 6.5, peak=0.6, n=20), Trial(9.3, 8.0, peak=0.6, n=20)]
    objects = [Trial(22.0, 26.0, peak=0.6, n=20), Trial(35.0, 29.0, peak=0.6, n=20)]

    assert choose_width_px([*grain, *objects]) == pytest.approx(math.sqrt(26 * 29))


def test_many_objects_tell_more_than_a_large_one():
    many = [Trial(14.0, 13.0, peak=0.6, n=60), Trial(22.0, 15.0, peak=0.6, n=60)]
    one = [Trial(128.0, 130.0, peak=0.65, n=1), Trial(200.0, 150.0, peak=0.65, n=1)]

    assert choose_width_px([*many, *one]) == pytest.approx(math.sqrt(13 * 15))


def test_a_closer_look_corrects_the_width_unless_it_sees_something_else():
    assert refine_width_px(20.0, Trial(20.0, 22.0, 0.8, n=20)) == pytest.approx(math.sqrt(440))
    assert refine_width_px(20.0, Trial(20.0, 60.0, 0.8, n=20)) == 20.0
    assert refine_width_px(20.0, Trial(20.0, math.nan, 0.0, n=20)) == 20.0


def test_a_width_is_chosen_where_nothing_is_found():
    nothing = Trial.of(20.0, np.empty(0), np.empty(0))

    assert NARROWEST_PX < choose_width_px([nothing, nothing]) < WIDEST_PX


def test_widths_are_tried_over_the_whole_range():
    widths = trial_widths_px()

    assert widths[0] == pytest.approx(NARROWEST_PX)
    assert widths[-1] == pytest.approx(WIDEST_PX)
    assert max(b / a for a, b in pairwise(widths)) < 1.7
