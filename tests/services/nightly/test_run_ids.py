from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipelines.errors import SettingsError
from services.nightly.run_ids import check_run_id, choose_run_id

NOON = datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC)


def test_a_slot_that_is_named_is_that_slot_whatever_else_is_unfinished():
    assert choose_run_id("2026-11-25", "2026-11-24", NOON) == "2026-11-25"


def test_without_a_name_an_unfinished_run_goes_on():
    assert choose_run_id(None, "2026-11-24", NOON) == "2026-11-24"


def test_without_a_name_and_with_nothing_unfinished_the_time_is_the_name():
    in_tokyo = NOON.astimezone(timezone(timedelta(hours=9)))

    assert choose_run_id(None, None, in_tokyo) == "20261125T120005Z"


@pytest.mark.parametrize("run_id", ["2026-11-25", "a", "night_7.retry", "x" * 64])
def test_names_that_can_be_files_are_taken(run_id):
    assert check_run_id(run_id) == run_id


@pytest.mark.parametrize("run_id", ["", "../up", ".hidden", "a/b", "a b", "a..b", "x" * 65, "a\n"])
def test_names_that_could_lead_elsewhere_are_refused(run_id):
    with pytest.raises(SettingsError, match=r"--run-id must be 1 to 64 of A-Z"):
        check_run_id(run_id)
