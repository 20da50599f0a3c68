from dataclasses import replace

import numpy as np
import pytest

from services.report import learning
from services.report.embedding import FigureFolder
from services.report.inputs import ReportInputs
from services.report.learning import (
    accuracy_interval,
    achiral_control,
    against_truth,
    scored,
    training,
)
from services.report.particles import read_particles


@pytest.fixture
def figures(scene):
    return FigureFolder(scene.archive.reports / "r")


def texts(section) -> str:
    return " ".join(block.text for block in section.blocks if block.kind == "text")


def test_a_history_becomes_curves_and_says_how_it_ended(figures):
    history = [{"train_loss": 0.9}, {"train_loss": 0.25, "wrong_labels_memorised": 0.5}]

    section = training(ReportInputs(history=history, model={"version": "3"}), figures)

    assert [block.kind for block in section.blocks] == ["drawing", "text", "table"]
    assert section.blocks[0].alt.startswith("Training curves over 2 epochs")
    assert "train loss 0.25" in section.blocks[0].alt
    assert "memorised" in section.blocks[1].text


def test_accuracy_counts_test_particles_of_the_models_classes(scene, figures):
    scene.add_mosaic("train")
    scene.add_mosaic("test")
    for name in ("train", "test"):
        scene.predict(name, [0.9, 0.9, 0.1])
        scene.know(name, ["right", "left", "none"])
    scores = {name: scene.score(name) for name in ("train", "test")}
    inputs = ReportInputs(scores=scores, held_out=("test",))
    particles = read_particles(scene.archive, inputs)

    chosen, classes = scored(particles)
    section = against_truth(particles, figures, inputs)

    assert chosen.sum() == 2
    assert classes == ["right", "left"]
    assert accuracy_interval(particles, chosen, 0)[0] == 0.5
    assert "Accuracy 50.0 %" in texts(section)
    assert "2 test particles" in texts(section)
    assert "optimistic" not in texts(section)
    table = section.blocks[0]
    assert [row[0] for row in table.rows] == ["test", "train"]
    assert table.rows[0][1] == "1.000"


def test_scores_without_a_test_are_called_optimistic(scene, figures):
    scene.add_mosaic("m")
    scene.predict("m", [0.9, 0.9, 0.1])
    scene.know("m", ["right", "left", "left"])
    inputs = ReportInputs(scores={"m": scene.score("m")})

    section = against_truth(read_particles(scene.archive, inputs), figures, inputs)

    assert "optimistic" in texts(section)


def test_segmentation_is_scored_where_no_model_was_trained(scene, figures):
    scene.add_mosaic("m")
    inputs = ReportInputs(scores={"m": scene.score("m")})

    section = against_truth(read_particles(scene.archive, inputs), figures, inputs)

    assert [block.kind for block in section.blocks] == ["table"]


def test_particles_without_a_hand_are_a_control(scene):
    scene.add_mosaic("m")
    scene.predict("m", [0.9, 0.9, 0.1])
    scene.know("m", ["none"] * 3, determinable=[False] * 3)
    particles = read_particles(scene.archive, ReportInputs(scores={"m": scene.score("m")}))

    text = achiral_control(particles).text

    assert "of 3 test particles without a hand, 66.7 %" in text
    assert f"within {100 / np.sqrt(3):.1f} points" in text


def test_without_such_particles_there_is_no_control(scene):
    scene.add_mosaic("m")
    scene.predict("m", [0.9, 0.9, 0.1])

    assert achiral_control(read_particles(scene.archive, ReportInputs())) is None


def test_many_mosaics_are_summed_up_and_the_worst_comes_first(scene, figures, monkeypatch):
    monkeypatch.setattr(learning, "FOLD_FROM_N", 1)
    scene.add_mosaic("a")
    good = scene.score("a")
    half = replace(good.at_50, n_matched=1)
    nothing = replace(good.at_50, n_matched=0, n_truth=0, n_found=0)
    scores = {"a": good, "b": replace(good, at_50=half), "0": replace(good, at_50=nothing)}

    text, table = learning.score_table(scores)

    assert text.text == "F1 of 2 mosaics: median 0.667, lowest 0.333 (b)."
    assert [row[0] for row in table.rows] == ["b", "a", "0"]
    assert table.is_folded
