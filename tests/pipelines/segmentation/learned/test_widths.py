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


def test_a_trial_that_finds_what_it_looked_for_is_better_than_a_deeper_one_that_does_not():
    consistent = Trial(20.0, 21.0, peak=0.8)
    parts = Trial(80.0, 20.0, peak=0.9)

    assert choose_width_px([parts, consistent]) == 21.0


def test_a_width_is_chosen_where_nothing_is_found():
    nothing = Trial.of(20.0, np.empty(0), np.empty(0))

    assert NARROWEST_PX < choose_width_px([nothing]) < WIDEST_PX


def test_widths_are_tried_over_the_whole_range():
    widths = trial_widths_px()

    assert widths[0] == pytest.approx(NARROWEST_PX)
    assert widths[-1] == pytest.approx(WIDEST_PX)
    assert max(b / a for a, b in pairwise(widths)) < 1.7
