"""The steps of a night. Each may be done twice: what was done is found in ledger and tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from pipelines.archive import Archive
from pipelines.errors import UnfitStartError
from pipelines.labels.table import GIVEN
from pipelines.ledger import DONE, Entry, append_entries, read_entries, work_key
from services import result_versions
from services.label_store import current_version, read_labels
from services.nightly.changes import changed_files, must_learn
from services.nightly.defects import find_defects
from services.nightly.gate import AUTHOR
from services.nightly.journal import Journal
from services.nightly.plans import Plan
from services.nightly.refitting import promote_segmenter, refit_segmenter
from services.nightly.snapshot import decisive, segmentations
from services.progress import note
from services.versions import code_version

if TYPE_CHECKING:
    from services.tracking import TrackedRun
    from services.verbs.relabel import Settings

Values = Mapping[str, Any]
LABEL = "label"


@dataclass
class Night:
    """A night under way: its plan, and what its steps gave back so far."""

    archive: Archive
    settings: "Settings"
    journal: Journal
    plan: Plan
    run: "TrackedRun"

    def of(self, step: str) -> Values:
        """Return what a step of this night gave back."""
        return self.journal.values(step)

    def stage(self, verb: str, **values: Any) -> Any:
        """Return a stage's settings, with some values that the night decides."""
        return self.settings.stages[verb].model_copy(update=values)

    def held_out(self) -> tuple[str, ...]:
        """Return the mosaics that are never labelled nor trained on."""
        patterns = self.settings.hold_out
        return tuple(
            name
            for name in self.archive.mosaic_names()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        )


@dataclass(frozen=True)
class Step:
    """A step: its work, the stage whose settings decide it, and the steps that it follows."""

    name: str
    work: Callable[[Night], Values]
    stage: str = ""
    after: tuple[str, ...] = ()

    def given(self, night: Night) -> Any:
        """Return what decides the step's result, JSON-like."""
        stage = decisive(night.settings.stages[self.stage]) if self.stage else {}
        return [self.name, night.plan.digest, stage, [night.journal.output(s) for s in self.after]]


def ingest(night: Night) -> Values:
    """Take in the images that are new or changed."""
    from services.verbs import ingest as verb

    # An image may have gone since it was seen.
    paths = tuple(Path(path) for path in changed_files(night.plan.changes) if Path(path).exists())
    outcome = verb.perform(night.archive, night.stage("ingest", sources=paths))
    names = night.archive.mosaic_names()
    return {
        **outcome.values,
        "new": [name for name in names if name not in night.plan.before.mosaics],
    }


def segment(night: Night) -> Values:
    """Find the particles of the mosaics that have none yet under these settings."""
    from services.verbs import segment as verb

    if not night.archive.mosaic_names():
        return {"mosaics": 0, "instances": 0}
    return dict(verb.perform(night.archive, night.stage("segment")).values)


def label(night: Night) -> Values:
    """Label weakly the mosaics that were not labelled yet under these settings."""
    from services.verbs import label as verb

    archive, settings = night.archive, night.stage("label")
    found = {name: digest for name, digest in segmentations(archive).items() if digest}
    held_out = night.held_out()
    keys = {
        name: work_key(LABEL, result_versions.LABEL, digest, decisive(settings), name)
        for name, digest in found.items()
        if name not in held_out
        and (not settings.mosaic or any(fnmatchcase(name, p) for p in settings.mosaic))
    }
    done = read_entries(archive, LABEL, status=DONE)
    names = [name for name, key in keys.items() if key not in done]
    values: dict[str, Any] = {"mosaics": len(names)}
    if names:
        chosen = settings.model_copy(update={"mosaic": tuple(names), "hold_out": ()})
        outcome = verb.perform(archive, chosen, run_id=night.run.run_id)
        values |= outcome.values
        unit = f"labels/{outcome.values['version']}"
        append_entries(
            archive,
            [
                Entry(
                    keys[name], LABEL, name, unit,
                    code_version=code_version(), run_id=night.run.run_id,
                )
                for name in names
            ],
        )  # fmt: skip
    version = current_version(archive)
    digest = version.digest if version else ""
    learns = must_learn(
        night.plan.changes, labels_before=night.plan.before.labels, labels_now=digest
    )
    return {
        **values,
        "version": version.version if version else None,
        "digest": digest,
        "learn": learns,
    }


def predict(night: Night) -> Values:
    """Let the champion of the beginning classify every particle that it can see."""
    return _predict(night, night.plan.now.champion)


def clean(night: Night) -> Values:
    """Find wrong labels, if there is anything to learn."""
    from services.verbs import clean as verb

    labelled = night.of("label")
    version = labelled["version"]
    kept = {"version": version, "digest": labelled["digest"], "cleaned": False}
    if not labelled["learn"]:
        return {**kept, "why": "no label has changed since the last night"}
    rows = read_labels(night.archive, version)
    if not pc.any(pc.equal(rows["state"], GIVEN)).as_py():
        return {**kept, "why": "no label is undecided"}
    chosen = night.stage("clean", label_version=version, hold_out=night.held_out())
    return {**verb.perform(night.archive, chosen).values, "cleaned": True}


def train(night: Night) -> Values:
    """Train a candidate on the cleaned labels, if there is anything to learn."""
    from services.verbs import train as verb

    if not night.of("label")["learn"]:
        return {"uri": "", "why": "no label has changed since the last night"}
    version = night.of("clean")["version"]
    chosen = night.stage("train", label_version=version, hold_out=night.held_out())
    champion = night.plan.now.champion
    if night.settings.warm_start and champion:
        try:
            begun = chosen.model_copy(update={"start": champion.removeprefix("models:/")})
            return {**verb.perform(night.archive, begun).values, "start": champion}
        except UnfitStartError as error:
            note(f"train: from nothing, because {error}")
    return {**verb.perform(night.archive, chosen).values, "start": ""}


def judge(night: Night) -> Values:
    """Let candidate and champion answer for particles of known class, and decide."""
    from services.nightly.judging import judge_candidate

    return judge_candidate(night)


def promote(night: Night) -> Values:
    """Make the candidate champion, if it was found better."""
    from services.model_promotion import promote_model

    verdict = night.of("judge")
    if not verdict["promote"]:
        return {"champion": night.plan.now.champion, "promoted": False}
    uri: str = verdict["candidate"]
    name, _, version = uri.removeprefix("models:/").rpartition("/")
    promote_model(
        night.archive,
        name,
        version,
        author=AUTHOR,
        reason=verdict["why"],
        run_id=night.journal.run_id,
        metrics={c["name"]: c["candidate"] for c in verdict["comparisons"] if c["n_particles"]},
        tracking_uri=night.settings.tracking_uri,
    )
    return {"champion": uri, "promoted": True}


def predict_anew(night: Night) -> Values:
    """Let a new champion classify every particle."""
    return _predict(night, night.of("promote")["champion"])


def population(night: Night) -> Values:
    """Hold the particles that came tonight against those of earlier nights."""
    from services.nightly.population import measure_population, past_nights

    history = past_nights(
        night.archive, but=night.journal.run_id, limit=night.settings.drift_nights
    )
    model = night.plan.now.champion or night.of("promote")["champion"]
    found = measure_population(night.archive, night.of("ingest")["new"], history, model)
    return {**found.to_json(), "flagged": found.flagged}


def _predict(night: Night, model_uri: str) -> Values:
    """Classify the mosaics that the model fits; name the others."""
    from services.model_registry import load_model
    from services.nightly.fitting import unfit_mosaics
    from services.verbs import predict as verb

    names = [name for name, digest in segmentations(night.archive).items() if digest]
    if not model_uri or not names:
        return {"particles": 0, "unfit": []}
    model = load_model(night.archive, model_uri, tracking_uri=night.settings.tracking_uri)
    unfit = unfit_mosaics(night.archive, [model], names)
    fitting = tuple(name for name in names if name not in unfit)
    if not fitting:
        return {"particles": 0, "unfit": unfit}
    chosen = night.stage("predict", model=model_uri.removeprefix("models:/"), mosaic=fitting)
    return {**verb.perform(night.archive, chosen).values, "unfit": unfit}


#: In the order in which they are done.
STEPS = (
    Step("ingest", ingest, "ingest"),
    Step("defects", find_defects, "", ("ingest",)),
    Step("segmenter", refit_segmenter, "", ("ingest",)),
    Step("promote_segmenter", promote_segmenter, "", ("segmenter",)),
    Step("segment", segment, "segment", ("ingest", "promote_segmenter")),
    Step("label", label, "label", ("segment",)),
    Step("predict", predict, "", ("segment",)),
    Step("clean", clean, "clean", ("label",)),
    Step("train", train, "train", ("clean",)),
    Step("judge", judge, "", ("train",)),
    Step("promote", promote, "", ("judge",)),
    Step("predict_anew", predict_anew, "", ("promote", "segment")),
    Step("population", population, "", ("predict_anew",)),
)
