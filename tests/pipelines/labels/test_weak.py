import pyarrow as pa
import pytest

from pipelines.labels.rules import parse_rules
from pipelines.labels.table import check_labels
from pipelines.labels.weak import (
    WeakLabeller,
    add_statistics,
    assume_label,
    report_rules,
    rule_columns,
    share_right,
)
from pipelines.schemas import LABELS
from pipelines.tables import to_table

PARTICLES = to_table(
    "particles",
    [
        {
            "particle_id": 10 * i,
            "mosaic": mosaic,
            "instance": i,
            "segmentation": "s",
            "area_px": area,
            "eccentricity": eccentricity,
            "touches_edge": edge,
        }
        for i, (mosaic, area, eccentricity, edge) in enumerate(
            [
                ("m", 10, 0.1, False),
                ("n", 90, 0.9, False),
                ("m", 20, 0.9, False),
                ("m", 30, 0.1, None),
                ("n", 80, None, True),
                ("m", 40, 0.1, False),
            ],
            start=1,
        )
    ],
)


def rules(*triples):
    return parse_rules(
        {"rules": [{"name": n, "expression": e, "label": label} for n, e, label in triples]},
        where="x",
    )


SOME = rules(
    ("large", "area_px > median(area_px)", "big"),
    ("round", "eccentricity < 0.5", "dot"),
    ("inside", "not touches_edge", "dot"),
)


def label(particles, some=SOME):
    return WeakLabeller(some, "majority", 0.0)(add_statistics(particles, some))


def test_rules_vote_on_every_particle_and_null_abstains():
    labelled = label(PARTICLES)

    # Medians: 25 in m, 85 in n.
    assert labelled["fired"].to_pylist() == [
        [False, True, True],
        [True, False, True],
        [False, False, True],
        [True, True, False],
        [False, False, False],
        [True, True, True],
    ]
    assert labelled["label"].to_pylist() == ["dot", None, "dot", None, None, "dot"]
    assert labelled["reason"].to_pylist()[1:] == [
        "tie: large against inside",
        "inside",
        "tie: large against round",
        "no rule voted",
        "round, inside against large",
    ]


def test_labelled_rows_fit_the_label_table():
    rows = label(PARTICLES).select(LABELS.names)

    check_labels(rows)
    assert rows.schema == LABELS
    assert rows["particle_id"].to_pylist() == [10, 20, 30, 40, 50, 60]
    assert rows["segmentation"].to_pylist() == ["s"] * 6


@pytest.mark.parametrize("n_rows", [1, 2, 4])
def test_batches_give_what_the_whole_gives(n_rows):
    labeller = WeakLabeller(SOME, "weighted", 0.6)
    prepared = add_statistics(PARTICLES, SOME)

    batched = [labeller(prepared.slice(start, n_rows)) for start in range(0, 6, n_rows)]

    assert pa.concat_tables(batched).equals(labeller(prepared))


def test_statistics_are_of_the_mosaic_alone():
    alone = PARTICLES.filter(pa.compute.equal(PARTICLES["mosaic"], "n"))

    together = label(PARTICLES).filter(pa.compute.equal(PARTICLES["mosaic"], "n"))

    assert label(alone)["fired"].to_pylist() == together["fired"].to_pylist()


def test_no_particles_give_no_rows():
    labelled = label(PARTICLES.slice(0, 0))

    assert labelled.num_rows == 0
    assert report_rules(labelled, SOME).coverage == 0.0


def test_a_rule_needs_no_column():
    assert label(PARTICLES, rules(("all", "True", "dot")))["label"].to_pylist() == ["dot"] * 6


def test_the_columns_that_rules_need_are_enough():
    assert rule_columns(SOME) == [
        "particle_id",
        "mosaic",
        "instance",
        "segmentation",
        "area_px",
        "eccentricity",
        "touches_edge",
    ]
    assert label(PARTICLES.select(rule_columns(SOME))).equals(label(PARTICLES))


def test_the_report_compares_with_known_truth():
    truth = pa.table({"particle_id": [60, 10, 30, 999], "label": ["dot", "other", "big", "dot"]})

    found = report_rules(label(PARTICLES), SOME, truth)

    assert found.n_with_truth == 3
    assert found.accuracy == pytest.approx(1 / 3)
    assert (found.coverage, found.conflict) == (pytest.approx(5 / 6), pytest.approx(3 / 6))


def test_an_assumed_class_goes_to_every_particle_once():
    rows = assume_label(PARTICLES, "right")

    check_labels(rows)
    assert rows["particle_id"].to_pylist() == PARTICLES["particle_id"].to_pylist()
    assert set(rows["label"].to_pylist()) == {"right"}
    assert set(rows["state"].to_pylist()) == {"given"}


def test_an_assumption_is_compared_with_known_truth():
    rows = assume_label(PARTICLES, "right")
    truth = pa.table(
        {"particle_id": [10, 20, 30, 999], "label": ["right", "left", "right", "left"]}
    )

    assert share_right(rows, truth) == pytest.approx(2 / 3)
    assert share_right(rows, truth.slice(3)) is None
