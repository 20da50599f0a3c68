import math

import pytest

from pipelines.training import options


@pytest.mark.parametrize(
    ("option", "taken", "refused", "rule"),
    [
        (options.share(0.5), [0, 0.5, 1], [-0.1, 1.1], "from 0 to 1"),
        (options.weight(1), [0, 7], [-0.1], "at least 0"),
        (options.positive(1), [1e-9, 7], [0, -1], "above 0"),
        (options.percentile(97), [0, 97, 100], [-1, 101], "from 0 to 100"),
        (options.switch(1), [0, 1], [0.5, 2], "0 or 1"),
        (options.log_of_zero(-4), [-4], [0, 1], "below 0"),
        (options.error_rate(), [-1, 0, 0.4], [-0.5, 1], "at least 0 and below 1, or -1"),
    ],
)
def test_an_option_takes_what_its_rule_says_and_refuses_the_rest(option, taken, refused, rule):
    for value in [*taken, option.default]:
        option.check("n", value)

    for value in [*refused, math.nan, math.inf]:
        with pytest.raises(ValueError, match=rf"n must be {rule}.*, got {value:g}"):
            option.check("n", value)
