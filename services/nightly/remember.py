"""A finished night as a row of the table of nights."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.tables import replace_rows, to_table
from services.nightly.steps import Night
from services.versions import code_version


def remember_night(night: Night, values: Mapping[str, Any], *, n_quarantined: int) -> None:
    """Write the night's row; a second time it replaces the first."""
    journal = night.journal
    population = night.of("population")
    row = {
        "run_id": journal.run_id,
        "started": datetime.fromisoformat(journal.started),
        "finished": datetime.now(UTC),
        "changes": [change.text for change in night.plan.changes],
        "mosaics": night.of("ingest")["new"],
        "n_particles": values["particles"],
        "n_quarantined": n_quarantined,
        "label_version": night.of("clean")["version"],
        "label_digest": night.of("clean")["digest"],
        "champion_before": night.plan.now.champion,
        "candidate": night.of("judge")["candidate"],
        "champion": night.of("promote")["champion"],
        "promoted": values["promoted"],
        "why": values["why"],
        "population": json.dumps(population["spreads"]),
        "drift": json.dumps(population["drifts"]),
        "report": values["report"],
        "code_version": code_version(),
        "tracking_run": night.run.run_id,
    }
    replace_rows(
        night.archive, "nights", to_table("nights", [row]), where=f"run_id = '{journal.run_id}'"
    )
