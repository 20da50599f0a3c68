"""The summary of sweeps says what the trials say: means, pairs of equal labels, who is left out."""

import json

import pytest
from matplotlib.figure import Figure

from tests.benchmarks.sweep_figure import draw, draw_panel
from tests.benchmarks.sweep_goals import cost_table
from tests.benchmarks.sweep_tables import RESULTS, merged, summarise, tables

ROW = {
    "preset": "p", "noise": "sym_pair", "n_train": 100, "n_test": 50, "n_epochs": 8,
    "device": "cpu", "memorised": None, "kept_precision": None, "accuracy_true": 0.9,
    "accuracy_mirrored": 0.9, "achiral_share": 0.5, "achiral_two_sd": 0.04,
}  # fmt: skip


def rows_of(method, accuracies, rate=0.4, **more):
    return [
        {**ROW, "method": method, "error_rate": rate, "seed": seed, "last": last, **more}
        for seed, last in enumerate(accuracies)
    ]


@pytest.fixture
def found():
    return summarise(
        rows_of("ce", [0.80, 0.70, 0.90])
        # Better than the baseline by the same on every seed, though seeds differ by more.
        + rows_of("elr", [0.83, 0.74, 0.92], kept_precision=0.95, accuracy_mirrored=0.895)
        + rows_of("gce", [0.70, 0.90, 0.80], achiral_share=0.56)
    )


def test_methods_are_compared_on_the_same_labels(found):
    text = tables({"p": found})

    assert "| elr | 83.0 (" in text
    assert "worst of 3: 74.0)" in text
    assert "the 95 % interval above 0: at 40 % elr +3.0." in text


def test_the_baseline_comes_first_and_then_the_best(found):
    lines = [line for line in tables({"p": found}).splitlines() if line.startswith("| ")]

    assert [line.split(" | ")[0] for line in lines[2:]] == ["| ce", "| elr", "| gce"]


def test_kept_labels_mirrors_and_controls_are_told(found):
    text = tables({"p": found})

    assert "Right among the labels that are kept in the end, in per cent: elr 95.0." in text
    assert "on mirrored images of them, mean over seeds: +0.0 to +0.5 points." in text
    assert "by two standard deviations, in 6 of 9 trials." in text


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [([0.8], "80.0 (1 seed)"), ([0.8, 0.6], "70.0 (2 seeds; worst: 60.0)")],
)
def test_no_interval_is_drawn_from_two_seeds(accuracies, said):
    assert f"| ce | {said} |" in tables({"p": summarise(rows_of("ce", accuracies))})


def test_methods_that_were_not_run_anew_stay_at_equal_terms_alone(found):
    anew = summarise(rows_of("ce", [0.5, 0.5, 0.5]))
    longer = summarise([{**row, "n_epochs": 9} for row in rows_of("ce", [0.5, 0.5, 0.5])])

    assert merged(found, anew)["cells"].keys() == {"ce", "elr", "gce"}
    assert merged(found, anew)["cells"]["ce"]["0.4"]["mean"] == pytest.approx(0.5)
    assert merged(found, longer)["cells"].keys() == {"ce"}
    assert merged(found, summarise(rows_of("ce", [0.80, 0.70, 0.90])))["since"] == found["at"]


def test_the_figure_draws_what_the_tables_say(found, tmp_path):
    axes = Figure().subplots()
    draw_panel(axes, found["cells"])
    draw(json.loads(RESULTS.read_text()), tmp_path / "figure.png")

    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(lines["ce"]) == pytest.approx([80.0])
    assert list(lines["other methods"]) in ([pytest.approx(83.0)], [pytest.approx(80.0)])
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_what_wrong_labels_cost_is_held_against_every_accuracy_on_right_ones():
    def cells(**means):
        return {f"0.{k[1:]}" if k != "r0" else "0": {"mean": m, "seeds": 5, "worst": m - 0.01}
                for k, m in means.items()}  # fmt: skip

    hard = {"ce": cells(r0=0.95)}
    mirror = {
        "ce": cells(r0=0.96),
        "divide-mix": cells(r0=0.945, r2=0.9375, r3=0.9349, r4=0.93, r46=0.84),
    }

    text = cost_table(
        {"handedness-hard": {"cells": hard}, "handedness-hard-mirror": {"cells": mirror}}
    )

    rows = [line.split(" | ")[2:] for line in text.splitlines()[3:]]
    far = "**84.0**, worst of 5: 83.0 |"
    assert rows == [
        ["own: 94.5", "-0.75", "**-1.01**", "-1.50", far],
        ["plain network, `ce`: 95.0", "**-1.25**", "**-1.51**", "-2.00", far],
        ["best of the study, `ce`: 96.0", "**-2.25**", "**-2.51**", "**-3.00**", far],
    ]
