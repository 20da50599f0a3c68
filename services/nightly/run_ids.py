"""Names of runs: a scheduled slot has one, so that it is done once however often it is started."""

import re
from datetime import UTC, datetime

from pipelines.errors import SettingsError

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_run_id(run_id: str) -> str:
    """Return ``run_id`` if it can name a run, which also makes it safe as a file's name.

    Raises
    ------
    SettingsError
        If it cannot.

    Examples
    --------
    >>> check_run_id("2026-11-25")
    '2026-11-25'
    """
    if not _RUN_ID.fullmatch(run_id) or ".." in run_id:
        raise SettingsError(
            "--run-id must be 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit and "
            f"without '..', got {run_id!r}"
        )
    return run_id


def choose_run_id(asked: str | None, unfinished: str | None, now: datetime) -> str:
    """Choose the run that a start of the nightly job belongs to.

    Parameters
    ----------
    asked : str, optional
        What the schedule calls this slot.
    unfinished : str, optional
        The newest run, if it did not come to its end: who starts without a name goes on with it.
    now : datetime
        The time, which names a run that is new.

    Examples
    --------
    >>> choose_run_id(None, None, datetime(2026, 11, 25, 2, 30, tzinfo=UTC))
    '20261125T023000Z'
    """
    return asked or unfinished or now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
