"""``tessera clean``: find labels that are wrong, as a new version of the labels."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from pipelines.archive import Archive, open_archive
from pipelines.errors import SettingsError
from services.learning_settings import LearningSettings
from services.lock import hold
from services.outcome import Outcome

STAGE = "clean"


class Settings(LearningSettings):
    """Find labels that are wrong, and propose the right ones, as a new version of the labels.

    Every particle is judged by networks that never saw it: particles are divided into --folds,
    and each fold is predicted by networks trained on the others, --repeats times. Labels that
    these probabilities speak against are flagged (confident learning), and become proposals for
    review, or undeterminable where no class is likely. Proposals are accepted without review only
    above the score from which an audit shows a precision of --accept-precision: give --audit, a
    CSV file (particle_id,label) of particles drawn at random from the proposals and from the
    rest, or where the truth is known --audit-truth. Labels in doubt are not trained on until
    somebody decides. An interrupted cleaning goes on with the same command.
    """

    folds: int = Field(5, ge=2, description="parts that the particles are divided into")
    repeats: int = Field(3, ge=1, description="divisions, each with networks of its own")
    filter_by: Literal[
        "prune_by_noise_rate",
        "prune_by_class",
        "both",
        "confident_learning",
        "predicted_neq_given",
        "low_normalized_margin",
        "low_self_confidence",
    ] = Field("prune_by_noise_rate", description="what is flagged; names as in cleanlab")
    audit: Path | None = Field(None, description="CSV file of reviewed particles")
    audit_truth: int = Field(
        0, ge=0, description="proposals, and as many others, whose known truth stands for an audit"
    )
    accept_precision: float = Field(
        0.95, gt=0, lt=1, description="lower bound on precision for acceptance without review"
    )
    canaries: float = Field(
        0.02,
        ge=0,
        le=0.1,
        description="share of labels made wrong for the training, to see how many are found",
    )
    author: str | None = Field(None, description="who stands for it; by default the system's user")

    @classmethod
    def load(cls, verb: str, toml: Path | None, flags: Mapping[str, Any]) -> Self:
        """Make settings, and refuse what cannot work before anything runs."""
        settings = super().load(verb, toml, flags)
        check(settings)
        return settings


def check(settings: Settings) -> None:
    """Check what needs no archive.

    Raises
    ------
    SettingsError
        If both kinds of audit are asked for.
    """
    if settings.audit is not None and settings.audit_truth:
        raise SettingsError(
            f"--audit and --audit-truth exclude each other, got {settings.audit} and "
            f"{settings.audit_truth}"
        )


def execute(settings: Settings) -> Outcome:
    """Clean the labels of an archive."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Clean the labels and commit the result; the caller holds the archive."""
    check(settings)
    from pipelines.ledger import Entry, append_entries
    from services import tracking
    from services.cleaning.plan import plan_cleaning
    from services.cleaning.run import clean_and_commit
    from services.threads import wait_politely
    from services.versions import code_version

    wait_politely()
    # MLflow takes seconds to import: meanwhile the tables are read.
    tracking.warm()
    planned = plan_cleaning(archive, settings)
    with tracking.track_run(
        archive, STAGE, settings.model_dump(mode="json"), tracking_uri=settings.tracking_uri
    ) as run:
        values = clean_and_commit(archive, settings, planned, run)
    append_entries(
        archive,
        [
            Entry(
                planned.key,
                STAGE,
                mosaic="",
                unit=f"labels/{values['version']}",
                result=json.dumps(values),
                settings=settings.model_dump_json(),
                code_version=code_version(),
                run_id=run.run_id,
            )
        ],
    )
    return Outcome("cleaned", values)
