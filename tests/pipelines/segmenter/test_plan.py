import json
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.segmenter.plan import FitPlan, Source

ONE = Source("a", "truth", Path("a.npy"), Path("a-ids.npy"))


def test_an_image_is_a_group_of_its_own_unless_it_is_said_otherwise():
    other = Source("b", "truth", Path("b.npy"), Path("b-ids.npy"), group="mosaic 7")

    assert (ONE.group, other.group) == ("a", "mosaic 7")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": []}, "sources must hold at least one image with masks, got none"),
        ({"sources": [ONE, ONE]}, "must have names of their own, got 'a' twice"),
        ({"patch_px": 100}, "patch_px must be a multiple of 32 from 64, got 100"),
        ({"n_epochs": 0}, "n_epochs must be at least 1, got 0"),
        ({"object_px": 3}, "object_px must be 8 to 64, got 3"),
        ({"scale_jitter": 0.5}, "scale_jitter must be at least 1, got 0.5"),
        ({"held_out_share": 1.0}, "held_out_share must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        FitPlan(**{"sources": [ONE], **values})


def test_an_unknown_kind_is_refused():
    with pytest.raises(SettingsError, match="kind of a must be one of"):
        Source("a", "guessed", Path("a.npy"), Path("b.npy"))


def test_whatever_decides_the_result_is_in_the_digest():
    plan = FitPlan([ONE])
    others = [
        FitPlan([ONE], seed=1),
        FitPlan([ONE], n_epochs=21),
        FitPlan([ONE], start=Path("base")),
        FitPlan([Source("a", "weak", Path("a.npy"), Path("a-ids.npy"))]),
    ]

    assert len({p.digest for p in [plan, *others]}) == 5
    assert json.loads(json.dumps(plan.to_json())) == plan.to_json()
