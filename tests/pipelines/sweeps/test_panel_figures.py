import numpy as np
import pytest
from matplotlib.text import Text

from pipelines.sweeps.panel_figures import (
    Recalls,
    correction,
    memorisation_figure,
    population_figure,
)


def epochs(*pairs) -> list[dict]:
    return [
        {"wrong_labels_memorised": memorised, "wrong_labels_seen_through": seen}
        for memorised, seen in pairs
    ]


def lines_of(axes) -> dict:
    return {line.get_label(): line for line in axes.lines}


def test_memorised_and_seen_through_shares_are_drawn_per_method():
    figure = memorisation_figure(
        {
            "ce": [epochs((0.1, 0.4), (0.5, 0.3)), epochs((0.3, 0.4), (0.7, 0.3))],
            "elr": [epochs((0.1, 0.5), (0.2, 0.8))],
        },
        error_rate=0.4,
    )

    panels = {axes.get_title(): lines_of(axes) for axes in figure.axes}
    assert list(panels) == ["ce", "elr"]
    assert panels["ce"]["memorised"].get_xdata().tolist() == [1, 2]
    assert panels["ce"]["memorised"].get_ydata().tolist() == pytest.approx([20, 60])
    assert panels["ce"]["seen through"].get_ydata().tolist() == pytest.approx([40, 30])
    assert panels["elr"]["seen through"].get_ydata().tolist() == pytest.approx([50, 80])
    assert figure.get_suptitle() == "wrongly labelled training samples, 40 % of all"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["seen through", "memorised"]


def test_bands_reach_from_the_lowest_to_the_highest_seed():
    figure = memorisation_figure(
        {"ce": [epochs((0.1, 0.4), (0.5, 0.3)), epochs((0.3, 0.4), (0.7, 0.3))]}, error_rate=0.4
    )

    corners = figure.axes[0].collections[1].get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(10)
    assert corners[:, 1].max() == pytest.approx(70)


def test_epochs_are_those_that_were_recorded():
    history = [{"epoch": 0, "wrong_labels_memorised": 0.1}, {"epoch": 5}]

    figure = memorisation_figure({"ce": [history]}, error_rate=0.4)

    assert lines_of(figure.axes[0])["memorised"].get_xdata().tolist() == [0]


def test_every_column_of_panels_has_its_axis_named_at_its_lowest_panel():
    figure = memorisation_figure(
        {f"method {i}": [epochs((0.1, 0.4), (0.5, 0.3))] for i in range(6)}, error_rate=0.4
    )

    named = [axes.get_title() for axes in figure.axes if axes.get_xlabel() == "epoch"]
    assert named == ["method 2", "method 3", "method 4", "method 5"]
    numbered = [
        axes.get_title()
        for axes in figure.axes
        if any(label.get_visible() for label in axes.get_xticklabels())
    ]
    assert numbered == named


def test_methods_that_recorded_neither_get_no_panel():
    figure = memorisation_figure(
        {"ce": [epochs((None, None))], "elr": [epochs((0.1, 0.4))]}, error_rate=0.4
    )

    assert [axes.get_title() for axes in figure.axes] == ["elr"]


def test_the_raw_share_follows_from_recalls():
    figure = population_figure({"ce": Recalls(0.9, 0.7, 500, 500)}, title="cards")

    lines = lines_of(figure.axes[0])
    raw = lines["raw"]
    # At no left at all 30 % are taken for left; at half, 0.5 * 0.9 + 0.5 * 0.3.
    assert raw.get_xdata()[[0, 10, 20]].tolist() == pytest.approx([0, 50, 100])
    assert raw.get_ydata()[[0, 10, 20]].tolist() == pytest.approx([30, 60, 90])
    assert lines["corrected, 95 %"].get_ydata() == pytest.approx(raw.get_xdata())
    assert list(lines["truth"].get_ydata()) == [0, 100]
    assert figure.axes[0].get_xlabel() == "true share of left (%)"
    assert figure.get_suptitle() == "cards"


def test_a_correction_learnt_elsewhere_may_be_wrong():
    figure = population_figure(
        {"ce": Recalls(0.9, 0.7, 500, 500)}, calibration={"ce": Recalls(0.9, 0.9, 500, 500)}
    )

    corrected = lines_of(figure.axes[0])["corrected, 95 %"].get_ydata()
    # (0.6 - 0.1) / 0.8 at a true half
    assert corrected[10] == pytest.approx(62.5)


def test_the_correction_is_as_sure_as_its_recalls():
    corrected, reach = correction(np.array([0.3, 0.6, 0.9]), Recalls(0.9, 0.7, 400, 100))

    assert corrected.tolist() == pytest.approx([0, 0.5, 1])
    # Half of either error at a half: the recall of left is 0.9 of 400, that of right 0.7 of 100.
    left, right = 0.9 * 0.1 / 400, 0.7 * 0.3 / 100
    assert reach[1] == pytest.approx(1.96 * (0.25 * (left + right)) ** 0.5 / 0.6)
    assert reach[0] == pytest.approx(1.96 * right**0.5 / 0.6)
    assert reach[2] == pytest.approx(1.96 * left**0.5 / 0.6)


def test_the_corrections_interval_covers_the_truth_as_often_as_it_says(rng):
    hits = 0
    for _ in range(500):
        seen = Recalls(rng.binomial(400, 0.85) / 400, rng.binomial(400, 0.8) / 400, 400, 400)
        # Of very many particles, 30 % truly left.
        (corrected,), (reach,) = correction(np.array([0.3 * 0.85 + 0.7 * 0.2]), seen)
        hits += abs(corrected - 0.3) <= reach

    # 95 % asked for; 92 % is 3 standard errors below.
    assert hits > 460


def test_no_better_than_chance_cannot_be_corrected_and_says_so():
    figure = population_figure({"ce": Recalls(0.5, 0.5, 100, 100)})

    lines = lines_of(figure.axes[0])
    assert np.isnan(lines["corrected, 95 %"].get_ydata()).all()
    assert lines["raw"].get_ydata() == pytest.approx([50] * 21)
    assert "no better than chance" in [text.get_text() for text in figure.findobj(Text)]
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: memorisation_figure({"ce": [epochs((None, None))]}, error_rate=0.4), "histories"),
        (lambda: population_figure({}), "measured"),
    ],
)
def test_nothing_to_draw_is_an_error(draw, name):
    with pytest.raises(ValueError, match=f"{name} must hold something to draw, got none"):
        draw()
