"""``tessera run``: the main job, stage after stage in one Ray session under one lock."""

import importlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from pipelines.archive import Archive, create_archive
from pipelines.errors import SettingsError
from pipelines.places import check_reachable
from pipelines.quarantine import list_quarantine
from services.lock import hold
from services.outcome import Outcome
from services.progress import note
from services.stages import JobSettings, load_stages

if TYPE_CHECKING:
    from services.assessment import Assessment
    from services.report.inputs import Step

STAGES = ("ingest", "segment", "label", "train", "predict")
#: Flags of this verb that a stage knows under another name.
RENAMED = {"segment": {"method": "segment_method"}, "train": {"method": "train_method"}}


class Settings(JobSettings):
    """Run the main job: ingest, segment, label weakly, train, predict and report.

    Every stage's own settings can be given in the --settings file, in the tables [ingest],
    [segment], [label], [train] and [predict]. What an earlier run finished is not done again.
    """

    sources: tuple[Path, ...] = Field(
        (),
        description="images, or folders of images",
        json_schema_extra={"argument": True, "metavar": "SOURCE"},
    )
    truth: Path | None = Field(
        None, description="folder of instance maps named like the images, to score against"
    )

    @classmethod
    def load(cls, verb: str, toml: Path | None, flags: Mapping[str, Any]) -> Self:
        """Make the settings of the job and, before anything runs, of each of its stages."""
        settings = super().load(verb, toml, flags)
        settings._stages = load_stages(
            settings,
            toml,
            STAGES,
            renamed=RENAMED,
            # What the stage before registers.
            fixed={"predict": {"model": f"{settings.name}@candidate"}},
        )
        return settings


def execute(settings: Settings) -> Outcome:
    """Run the main job on an archive, which is made if it is not there."""
    check_sources(settings)
    archive = create_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def check_sources(settings: Settings) -> None:
    """Refuse a wrong path before an archive is made.

    Raises
    ------
    SettingsError
        If there is nothing to work on.
    """
    check_reachable(settings.archive)
    if not settings.sources and not settings.archive.exists():
        raise SettingsError("SOURCE: at least one image or folder is needed for a new archive")
    if settings.sources:
        from pipelines.mosaic.ingest_plan import find_truth_maps
        from pipelines.mosaic.sources import find_sources

        find_truth_maps(settings.truth, find_sources(settings.sources))


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Run every stage, then score what can be scored and write the report."""
    from cluster.session import one_session
    from services import tracking
    from services.report.inputs import Step

    tracking.warm()
    steps: list[Step] = []
    with one_session():
        for stage in STAGES:
            note(f"== {stage}")
            started = time.monotonic()
            outcome: Outcome = importlib.import_module(f"services.verbs.{stage}").perform(
                archive, settings.stages[stage]
            )
            steps.append(Step(stage, outcome, time.monotonic() - started))
            note(outcome.line())
    return _remember(archive, settings, steps)


def _remember(archive: Archive, settings: Settings, steps: Sequence["Step"]) -> Outcome:
    """Assess the results, track them and write the report."""
    from services.assessment import assess
    from services.model_registry import load_model
    from services.report.build import write_report
    from services.report.inputs import ReportInputs
    from services.selection import select_mosaics
    from services.tracking import track_run

    note("== report")
    of = {step.verb: step.outcome for step in steps}
    trained = of["train"].values
    model = load_model(archive, str(trained["uri"]), tracking_uri=settings.tracking_uri)
    held_out = select_mosaics(archive, (), settings.hold_out).held_out
    assessment = assess(archive, held_out=held_out, model_uri=model.uri)
    whole = {
        "run": settings.model_dump(mode="json"),
        **{stage: own.model_dump(mode="json") for stage, own in settings.stages.items()},
    }
    values = _values(assessment, settings.seed)
    with track_run(archive, "run", whole["run"], tracking_uri=settings.tracking_uri) as run:
        run.tags(
            {"seed": settings.seed, "model": model.uri, "label_digest": model.card["label_digest"]}
        )
        run.metrics({k: v for k, v in values.items() if isinstance(v, float) and math.isfinite(v)})
        report = write_report(
            archive,
            ReportInputs(
                title=f"Tessera: {archive.root.name}",
                run_id=run.run_id[:12],
                command=["tessera", *sys.argv[1:]],
                seed=settings.seed,
                steps=steps,
                settings=whole,
                held_out=held_out,
                scores=assessment.mosaics,
                history=model.card.get("history", ()),
                model={
                    "name": model.name,
                    "version": model.version,
                    "uri": model.uri,
                    "method": str(trained["method"]),
                    "run": model.run_id,
                },
                model_uri=model.uri,
                label_version=model.card["label_version"],
            ),
        )
        run.artifact(report, "report")
    return Outcome(
        "ran",
        {
            "mosaics": len(archive.mosaic_names()),
            "particles": of["segment"].values["instances"],
            "model": model.uri,
            **values,
            "report": str(report),
        },
        n_quarantined=len(list_quarantine(archive)),
    )


def _values(assessment: "Assessment", seed: int) -> dict[str, float | int | bool]:
    """Say what was measured; where nothing is known, nothing is said."""
    values: dict[str, float | int | bool] = {}
    if assessment.mosaics:
        values["instance_f1"] = assessment.instance_f1
    if assessment.classes:
        low, high = assessment.classes.interval(seed)
        values |= {
            "test_accuracy": assessment.classes.accuracy,
            "test_accuracy_low": low,
            "test_accuracy_high": high,
            "test_particles": assessment.classes.n,
        }
    if assessment.achiral:
        share, two_sd = assessment.achiral.ratio, assessment.achiral_two_sd
        values |= {
            "achiral_share": share,
            "achiral_two_sd": two_sd,
            "achiral_particles": assessment.achiral.n_total,
            "achiral_even": abs(share - 0.5) <= two_sd,
        }
    return values
