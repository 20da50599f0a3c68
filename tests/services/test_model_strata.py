import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.tables import append_rows, to_table
from services.model_strata import worst_strata


@pytest.fixture
def archive(tmp_path):
    """100 particles in two mosaics, growing from 1 to 100 px; every tenth touches the edge."""
    archive = create_archive(tmp_path / "a")
    ids = np.arange(100)
    columns = {
        "particle_id": ids[::-1],
        "mosaic": ["old" if i < 50 else "new" for i in ids[::-1]],
        "major_axis_px": 1.0 + ids[::-1],
        "touches_edge": ids[::-1] % 10 == 0,
    }
    append_rows(archive, "particles", to_table("particles", columns))
    return archive


def find(archive, right):
    return worst_strata(archive, ["old", "new"], np.arange(100), np.array(right), seed=0)


def test_a_group_that_is_worse_than_the_rest_is_found_with_its_interval(archive):
    small_are_wrong = np.arange(100) >= 20

    worst, *others = find(archive, small_are_wrong)

    assert worst["stratum"] == "major_axis_px up to 25.8 (the lowest quarter)"
    assert (worst["n"], worst["accuracy"]) == (25, pytest.approx(0.2))
    assert worst["low"] < 0.2 < worst["high"] < worst["elsewhere"] == 1.0
    assert [other["stratum"] for other in others] == ["mosaic old"]


def test_no_group_is_found_where_none_is_worse(archive):
    assert find(archive, np.arange(100) % 7 != 0) == []


def test_a_group_of_few_is_left_out(archive):
    at_the_edge_are_wrong = np.arange(100) % 10 != 0

    found = find(archive, at_the_edge_are_wrong)

    assert not any("edge" in stratum["stratum"] for stratum in found)
