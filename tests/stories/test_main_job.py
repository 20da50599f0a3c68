"""A user's whole errand: from images to a report, and the same command again."""

import json

import numpy as np
import pytest
import tifffile

pytestmark = [
    pytest.mark.ray,
    # Ray Data copies its settings, and the copy sets those that it deprecates itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]

RULES = """
[[rules]]
name = "round"
expression = "eccentricity < 0.7"
label = "round"

[[rules]]
name = "long"
expression = "eccentricity >= 0.7"
label = "long"
"""


def test_a_synthesis_of_one_hand_teaches_both(tessera, typed, tmp_path):
    small = ("--preset", "easy", "--size-px", 1024, "--particles", 60, "--workers", 1)
    for name, more in [
        ("synthesis", ()),
        ("racemic", ("--left-fraction", 0.5, "--seed", 1)),
        ("achiral", ("--achiral", "--seed", 2)),
    ]:
        made = typed("simulate", tmp_path / name, *small, *more)
        assert made.returncode == 0, made.stderr
    command = [
        "run", *(tmp_path / name for name in ("synthesis", "racemic", "achiral")),
        "--archive", tmp_path / "a", "--assume", "right", "--hold-out", "racemic",
        "--hold-out", "achiral", "--epochs", 2, "--json",
    ]  # fmt: skip

    first = tessera(*command)
    again = typed(*command)

    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert result["mosaics"] == 3
    assert result["instance_f1"] >= 0.9
    assert 40 <= result["test_particles"] <= 60
    assert 0 <= result["test_accuracy"] <= 1
    assert result["achiral_particles"] >= 50
    page = (tmp_path / "a" / "reports").glob("*.html")
    assert any("racemic" in path.read_text(encoding="utf-8") for path in page)

    assert again.returncode == 0, again.stderr
    repeated = json.loads(again.stdout)
    assert repeated["model"] == result["model"]
    assert repeated["test_accuracy"] == result["test_accuracy"]
    assert "train: 1/" not in again.stderr, "the model was trained a second time"


def test_real_nuclei_are_labelled_by_rules(embedded_ray, typed, shared_data, tmp_path):
    images = sorted((shared_data / "dsb2018" / "images").glob("*.png"))[:4]
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)

    result = typed(
        "run", *images, "--archive", tmp_path / "a", "--allow-unknown-pixel-size",
        "--truth", shared_data / "dsb2018" / "labels", "--rules", rules, "--epochs", 1, "--json",
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["mosaics"] == 4
    assert found["particles"] > 40
    assert found["instance_f1"] > 0.5


def test_a_job_without_labels_is_refused_before_anything_is_made(typed, tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", np.ones((60, 80), np.uint8))

    result = typed("run", tmp_path / "image.tif", "--archive", tmp_path / "a")

    assert result.returncode == 2
    assert "--assume" in result.stderr
    assert not (tmp_path / "a").exists()


def test_a_new_archive_needs_a_source(typed, tmp_path):
    result = typed("run", "--archive", tmp_path / "a", "--assume", "right")

    assert result.returncode == 2
    assert "SOURCE" in result.stderr
    assert not (tmp_path / "a").exists()
