"""``tessera train``: learn a classifier from labels that may be wrong, and register it."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.archive import Archive, open_archive
from services.learning_settings import LearningSettings
from services.lock import hold
from services.outcome import Outcome
from services.progress import Progress, note

if TYPE_CHECKING:
    from services.tracking import TrackedRun
    from services.train_plan import Planned

STAGE = "train"
#: What the ledger keeps of how much was trained, for plans of later trainings.
PASSES = "passes"


class Settings(LearningSettings):
    """Train a classifier of particles on a version of the labels, and register the model.

    Particles are split by their id: most are trained on; some, with the labels as they are, watch
    over training; some are kept for testing, if their truth is known. Mosaics of --hold-out are
    tested on alone. Classes of a --mirror-pair are each other's mirror image, so that labels of
    one alone are enough. The model becomes NAME@candidate. An interrupted training goes on with
    the same command, and a finished one is not done again.
    """

    name: str = Field(
        "classifier",
        # Refused here and not by the registry after an hour of training.
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="name of the registered model",
    )
    start: str | None = Field(
        None, description="model to begin from (NAME@ALIAS or NAME/VERSION); none: from nothing"
    )
    test_share: float | None = Field(
        None, ge=0, lt=1, description="share kept for testing; 0.1, or none with --hold-out"
    )

    @property
    def share_for_tests(self) -> float:
        """The share of the particles that is kept for testing, 0 to 1."""
        if self.test_share is not None:
            return self.test_share
        # Mosaics that are held out make the better test, and leave more to learn from.
        return 0.0 if self.hold_out else 0.1


@dataclass(frozen=True)
class Effort:
    """What a training took: its seconds, and the images that went through a network meanwhile."""

    seconds: float
    passes: float


def execute(settings: Settings) -> Outcome:
    """Train on an archive."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Train, test and register, inside the caller's lock and Ray session if there are."""
    from pipelines.ledger import DONE, Entry, append_entries, read_entries
    from services import tracking
    from services.threads import wait_politely

    wait_politely()
    from services.versions import code_version

    # MLflow takes seconds to import: meanwhile the tables are read.
    tracking.warm()
    planned = plan_model(archive, settings)
    key = model_key(planned, settings)
    if done := read_entries(archive, STAGE, status=DONE).get(key):
        note("this model is there already: nothing it is made from has changed")
        values = json.loads(done.result)
        values.pop(PASSES, None)
        return Outcome("trained", {**values, "unchanged": True})
    folder = archive.scratch / STAGE / key
    with tracking.track_run(
        archive,
        STAGE,
        settings.model_dump(mode="json"),
        tracking_uri=settings.tracking_uri,
    ) as run:
        values, effort = _train_and_register(archive, settings, planned, folder, run, key)
    result = json.dumps({**values, PASSES: effort.passes})
    append_entries(
        archive,
        [
            Entry(
                key,
                STAGE,
                mosaic="",
                unit=f"{settings.name}/{values['version']}",
                result=result,
                seconds=effort.seconds,
                settings=settings.model_dump_json(),
                code_version=code_version(),
                run_id=run.run_id,
            )
        ],
    )
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome("trained", values)


def model_key(planned: "Planned", settings: Settings) -> str:
    """Return the key of a model in the ledger."""
    from pipelines.digests import digest_json

    return digest_json([planned.key, settings.name, settings.tracking_uri])


def plan_model(archive: Archive, settings: Settings, *, models: Archive | None = None) -> "Planned":
    """Plan the training, beginning from a model where one is named.

    Parameters
    ----------
    archive : Archive
        The archive.
    settings : Settings
        The verb's settings.
    models : Archive, optional
        The archive whose registry is asked, if it is another.
    """
    from services.model_registry import load_model
    from services.train_plan import begin_from, plan_training

    if settings.start is None:
        return plan_training(archive, settings)
    model = load_model(models or archive, settings.start, tracking_uri=settings.tracking_uri)
    if settings.field_nm is None and settings.field_px is None:
        # What the weights learnt to see is seen at the scale that they learnt it at.
        view = model.config["view"]
        unit = "field_nm" if view["in_nm"] else "field_px"
        settings = settings.model_copy(update={unit: view["field"]})
    return begin_from(plan_training(archive, settings), model)


def _train_and_register(
    archive: Archive,
    settings: Settings,
    planned: "Planned",
    folder: Path,
    run: "TrackedRun",
    key: str,
) -> tuple[dict[str, Any], "Effort"]:
    """Do the work of a run; return what is worth telling, and how much it was."""
    from pipelines.classifiers.amount import count_epochs, count_passes
    from pipelines.classifiers.fit import HISTORY_FILE
    from pipelines.classifiers.flow import train_classifier
    from pipelines.training.attempts import n_redone
    from pipelines.training.checkpoint import n_epochs_done
    from pipelines.training.splits import TRAIN
    from services.model_registry import register_model
    from services.model_score import known_failures, log_figures, score_model

    plan = planned.plan
    card = _card(settings, planned)
    run.tags({name: value for name, value in card.items() if name != "settings"})
    run.dataset(
        "labels",
        planned.data.version.digest,
        source=f"tables/labels@{planned.data.version.version}",
        context="training",
    )
    n_before = n_epochs_done(folder)
    with _ray_if(settings.train_workers, settings.address):
        started = time.monotonic()
        watch = EpochWatch(folder, count_epochs(plan))
        model = train_classifier(
            plan,
            folder=folder,
            n_workers=settings.train_workers,
            wish=settings.team_wish,
            watch=watch,
        )
        seconds = time.monotonic() - started
    history = json.loads((folder / HISTORY_FILE).read_text(encoding="utf-8"))
    run.history(history)
    score = score_model(planned, model)
    run.metrics(score.metrics(), step=len(history))
    log_figures(run, history, score)
    registered = register_model(
        run,
        model,
        name=settings.name,
        card={
            **card,
            "test": score.metrics(),
            "known_failures": known_failures(archive, planned, score),
            "history": history,
        },
        key=key,
    )
    values = {
        "method": settings.method,
        "run": run.run_id,
        "model": settings.name,
        "version": registered.version,
        "uri": registered.uri,
        "particles": int((plan.roles == TRAIN).sum()),
        "epochs": len(history),
        "epochs_redone": n_redone(folder),
        "select_accuracy": history[-1]["select_accuracy"],
        **score.headline(),
    }
    return values, Effort(seconds, count_passes(plan, len(history) - n_before))


def _card(settings: Settings, planned: "Planned") -> dict[str, Any]:
    """Gather what a result must carry."""
    from services.model_card import describe_training
    from services.versions import code_version, library_versions

    error_rate = planned.label_error_rate
    return {
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        "method": settings.method,
        "code_version": code_version(),
        "libraries": library_versions(),
        **planned.data.digests(),
        "trained_on": describe_training(planned),
        "held_out": list(planned.data.held_out),
        **({} if error_rate is None else {"label_error_rate": error_rate}),
    }


@contextmanager
def _ray_if(n_workers: int, address: str | None) -> Iterator[None]:
    """Connect to Ray where workers are wanted."""
    if not n_workers:
        yield
        return
    from cluster.session import connect

    with connect(address):
        yield


class EpochWatch:
    """Reports epochs as their checkpoints appear."""

    def __init__(self, folder: Path, n_epochs: int) -> None:
        from pipelines.training.checkpoint import n_epochs_done

        self._count = n_epochs_done
        self._seen = n_epochs_done(folder)
        self._progress = Progress("train", n_epochs, unit="epochs")
        if self._seen:
            note(f"train: going on after epoch {self._seen}")
            self._progress.advance(self._seen)

    def __call__(self, folder: Path) -> None:
        """Look at the checkpoints, and report what is new."""
        n_done = self._count(folder)
        if n_done > self._seen:
            self._progress.advance(n_done - self._seen)
            self._seen = n_done
