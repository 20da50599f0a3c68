import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pipelines.archive import create_archive, particle_id
from pipelines.tables import append_rows, to_table
from services.nightly.population import measure_population, past_nights

CHAMPION = "models:/classifier/1"
FIRST = datetime(2026, 11, 1, 2, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "lab")


def add_mosaic(archive, name, rng, *, size_nm=100.0, grey=120.0, n=80, known_size=True):
    """Enter particles of a mosaic, as if they had been segmented."""
    columns = {
        "particle_id": [particle_id(name, i) for i in range(n)],
        "mosaic": [name] * n,
        "equivalent_diameter_px": rng.normal(size_nm / 2, 5, n),
        "mean_intensity": rng.normal(grey, 10, n),
        "contrast": rng.normal(5, 1, n),
        "touches_edge": [False] * n,
    }
    if known_size:
        columns["equivalent_diameter_nm"] = 2 * columns["equivalent_diameter_px"]
    append_rows(archive, "particles", to_table("particles", columns))


def add_predictions(archive, name, *, n_left, n=80, confidence=0.9):
    columns = {
        "particle_id": [particle_id(name, i) for i in range(n)],
        "mosaic": [name] * n,
        "label": ["left"] * n_left + ["right"] * (n - n_left),
        "confidence": np.full(n, confidence),
        "classes": [["left", "right"]] * n,
        "model_uri": [CHAMPION] * n,
    }
    append_rows(archive, "predictions", to_table("predictions", columns))


def remember(archive, name, found, *, number):
    """Enter a night, as a night itself does."""
    said = found.to_json()
    row = {
        "run_id": name,
        "started": FIRST + timedelta(days=number),
        "mosaics": [name],
        "population": json.dumps(said["spreads"]),
        "drift": json.dumps(said["drifts"]),
    }
    append_rows(archive, "nights", to_table("nights", [row]))


def live(archive, rng, n_nights, *, n_left=20):
    """Let nights happen that bring the same population."""
    for number in range(n_nights):
        name = f"night-{number}"
        add_mosaic(archive, name, rng)
        add_predictions(archive, name, n_left=n_left)
        found = measure_population(archive, [name], past_nights(archive), CHAMPION)
        remember(archive, name, found, number=number)


def tonight(archive):
    return measure_population(archive, ["tonight"], past_nights(archive), CHAMPION)


def test_the_same_population_is_not_flagged(archive, rng):
    live(archive, rng, 6)
    add_mosaic(archive, "tonight", rng)
    add_predictions(archive, "tonight", n_left=22)

    found = tonight(archive)

    assert found.flagged == []
    assert list(found.spreads) == [
        "diameter (nm)", "grey level", "contrast", "confidence", "share of left",
    ]  # fmt: skip
    assert found.spreads["share of left"].middle == 22 / 80


def test_a_brighter_instrument_is_flagged_on_its_first_night(archive, rng):
    live(archive, rng, 2)
    add_mosaic(archive, "tonight", rng, grey=150.0)

    assert tonight(archive).flagged == ["grey level"]


def test_another_share_of_a_class_is_flagged_once_there_are_nights_to_hold_it_against(archive, rng):
    live(archive, rng, 6)
    add_mosaic(archive, "tonight", rng)
    add_predictions(archive, "tonight", n_left=60)

    assert tonight(archive).flagged == ["share of left"]


def test_the_first_night_has_nothing_to_be_held_against(archive, rng):
    add_mosaic(archive, "tonight", rng)

    found = tonight(archive)

    assert found.flagged == []
    assert found.spreads["diameter (nm)"].n == 80


def test_a_night_without_particles_has_no_population(archive):
    assert tonight(archive).spreads == {}


def test_sizes_in_px_are_a_measure_of_their_own(archive, rng):
    live(archive, rng, 6)
    add_mosaic(archive, "tonight", rng, known_size=False)

    found = tonight(archive)

    assert "diameter (nm)" not in found.spreads
    # All particles have a size in px, and it is the same.
    assert "diameter (px)" not in found.flagged


def test_past_nights_come_in_order_and_without_the_one_that_is_going_on(archive, rng):
    live(archive, rng, 4)

    assert [n.run_id for n in past_nights(archive, but="night-3", limit=2)] == [
        "night-1",
        "night-2",
    ]
