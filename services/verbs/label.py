"""``tessera label``: weak labels for every particle, as a new version of the labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.archive import Archive, open_archive
from pipelines.errors import ArchiveError, LabelError, SettingsError
from pipelines.labels.noise import KINDS, corrupt_labels
from pipelines.labels.rules import Rule, read_rules
from pipelines.labels.table import check_class_name
from pipelines.labels.weak import (
    STREAM_FROM_N_PARTICLES,
    WeakLabeller,
    add_statistics,
    assume_label,
    report_rules,
    rule_columns,
    share_right,
    state_labels,
)
from pipelines.tables import read_rows
from services.author import system_user
from services.label_store import commit_labels
from services.lock import hold
from services.outcome import Outcome
from services.progress import note
from services.selection import select_mosaics
from services.settings import ClusterSettings
from services.versions import code_version


class Settings(ClusterSettings):
    """Label particles weakly, by assumption or by rules, as a new version of the labels.

    Either --assume the class that the synthesis should have made, or give --rules: a TOML file of
    [[rules]] with name, expression (such as "eccentricity < 0.6 and area_nm2 > 2e4"), label and
    weight. For studies, --made-wrong takes the known truth and makes that share of it wrong.
    Particles that touch the mosaic's edge or have low contrast are left out unless
    --include-flagged is given. Labels that somebody decided on are never replaced.
    """

    assume: str | None = Field(None, description="class of every particle, from its synthesis")
    rules: Path | None = Field(None, description="TOML file of labelling rules")
    made_wrong: float | None = Field(
        None, ge=0, lt=1, description="share of wrong labels, 0 to 1; the others are the truth"
    )
    noise: str = Field("sym_pair", description="how labels of --made-wrong go wrong")
    mosaic: tuple[str, ...] = Field(
        (), description="mosaics (GLOB) to label; all by default; repeatable"
    )
    hold_out: tuple[str, ...] = Field(
        (), description="mosaics (GLOB) never to label, kept for testing; repeatable"
    )
    combine: Literal["majority", "weighted"] = Field(
        "majority", description="count the rules' votes alike, or by their weight"
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="least share of the votes that a label needs, 0 to 1"
    )
    include_flagged: bool = Field(
        False, description="also label particles that touch the edge or have low contrast"
    )
    check_truth: bool = Field(
        False, description="also say how many labels are right, where the truth is known"
    )
    author: str | None = Field(None, description="who stands for it; by default the system's user")

    @classmethod
    def load(cls, verb: str, toml: Path | None, flags: Mapping[str, Any]) -> Self:
        """Make settings, and refuse classes and rules that cannot work before anything runs."""
        settings = super().load(verb, toml, flags)
        check(settings)
        return settings


def execute(settings: Settings) -> Outcome:
    """Label the particles of an archive."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def check(settings: Settings) -> tuple[Rule, ...]:
    """Check what needs no archive; return the rules, none where a class is assumed.

    Raises
    ------
    SettingsError
        If not exactly one of --assume, --rules and --made-wrong is given.
    LabelError
        If the class or the rules are not well formed.
    """
    given = {
        "--assume": settings.assume,
        "--rules": settings.rules,
        "--made-wrong": settings.made_wrong,
    }
    chosen = [f"{flag} {value}" for flag, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise SettingsError(f"{', '.join(given)} exclude each other, got {' and '.join(chosen)}")
    if settings.rules is not None:
        return read_rules(settings.rules)
    if settings.made_wrong is not None:
        if settings.noise not in KINDS:
            raise SettingsError(
                f"--noise must be one of {', '.join(KINDS)}, got {settings.noise!r}"
            )
        return ()
    if settings.assume is None:
        raise SettingsError("one of --assume CLASS, --rules FILE and --made-wrong SHARE is needed")
    check_class_name(settings.assume, "--assume")
    return ()


def perform(archive: Archive, settings: Settings, *, run_id: str = "") -> Outcome:
    """Label the particles and commit the labels; the caller holds the archive."""
    rules = check(settings)
    selection = select_mosaics(archive, settings.mosaic, settings.hold_out)
    particles, n_flagged = _read_particles(archive, selection.chosen, rules, settings)
    truth = _known_labels(archive, selection.chosen) if settings.check_truth else None
    if rules:
        rows, report = _label_by_rules(particles, rules, truth, settings)
    elif settings.made_wrong is not None:
        known = _known_labels(archive, selection.chosen)
        rows, report = _make_wrong(particles, known, settings.made_wrong, settings)
    else:
        rows, report = _assume(particles, truth, settings)
    version = commit_labels(
        archive,
        rows,
        method=report["method"],
        author=settings.author or system_user(),
        run_id=run_id,
        code_version=code_version(),
        # Labels that held-out mosaics may have from before they were held out go.
        mosaics=[*selection.chosen, *selection.held_out],
        rules=report,
    )
    if not version.is_new:
        note(f"labels are unchanged: version {version.version} stays the current one")
    return Outcome(
        "labelled",
        {
            "particles": particles.num_rows,
            "flagged": n_flagged,
            "labels": report["n_labelled"],
            "abstained": particles.num_rows - report["n_labelled"],
            "version": version.version,
            "digest": version.digest,
            "coverage": report["coverage"],
            "conflict": report["conflict"],
            **({} if report["accuracy"] is None else {"accuracy": report["accuracy"]}),
        },
    )


def _read_particles(
    archive: Archive, mosaics: Sequence[str], rules: Sequence[Rule], settings: Settings
) -> tuple[pa.Table, int]:
    """Return the particles to label, and how many flagged ones are left out."""
    particles = read_rows(
        archive,
        "particles",
        columns=sorted({*rule_columns(rules), "touches_edge", "low_contrast"}),
        filters=[("mosaic", "in", list(mosaics))],
    ).sort_by([("mosaic", "ascending"), ("instance", "ascending")])
    if not particles.num_rows:
        some = ", ".join(mosaics[:3]) + (", ..." if len(mosaics) > 3 else "")
        raise ArchiveError(
            f"archive {archive.root} has no particles of {some}; `tessera segment` finds them"
        )
    if settings.include_flagged:
        return particles, 0
    is_flagged = pc.or_kleene(particles["touches_edge"], particles["low_contrast"])
    kept = particles.filter(pc.invert(pc.fill_null(is_flagged, False)))
    if not kept.num_rows:
        note(f"all {particles.num_rows} particles are flagged; --include-flagged labels them too")
    return kept, particles.num_rows - kept.num_rows


def _label_by_rules(
    particles: pa.Table, rules: Sequence[Rule], truth: pa.Table | None, settings: Settings
) -> tuple[pa.Table, dict[str, Any]]:
    asked_for_actors = settings.address is not None or settings.workers is not None
    if asked_for_actors or particles.num_rows >= STREAM_FROM_N_PARTICLES:
        labelled = _stream(particles, rules, settings)
    else:
        labeller = WeakLabeller(rules, settings.combine, settings.min_confidence)
        labelled = labeller(add_statistics(particles, rules))
    report = report_rules(labelled, rules, truth)
    note(report.table())
    how = {"method": f"rules, {settings.combine}", "min_confidence": settings.min_confidence}
    return labelled, {**how, **report.as_json()}


def _stream(particles: pa.Table, rules: Sequence[Rule], settings: Settings) -> pa.Table:
    from cluster.resources import connected_nodes, plan_pool
    from cluster.session import connect
    from pipelines.labels.flow import label_by_rules

    with connect(settings.address):
        return label_by_rules(
            particles,
            rules,
            combine=settings.combine,
            min_confidence=settings.min_confidence,
            pool=plan_pool(connected_nodes(), settings.wish),
        )


def _assume(
    particles: pa.Table, truth: pa.Table | None, settings: Settings
) -> tuple[pa.Table, dict[str, Any]]:
    rows = assume_label(particles, str(settings.assume))
    return rows, {
        "method": "assume",
        "assumed": settings.assume,
        "n_particles": rows.num_rows,
        "n_labelled": rows.num_rows,
        "coverage": 1.0 if rows.num_rows else 0.0,
        "conflict": 0.0,
        "accuracy": None if truth is None else share_right(rows, truth),
    }


def _make_wrong(
    particles: pa.Table, known: pa.Table, error_rate: float, settings: Settings
) -> tuple[pa.Table, dict[str, Any]]:
    """Label particles of known class, a known share of them wrongly."""
    known = known.filter(known["determinable"]).select(["particle_id", "label"])
    rows = particles.join(known, "particle_id", join_type="inner").sort_by("particle_id")
    if not rows.num_rows:
        raise LabelError("--made-wrong needs particles of known class, and there are none")
    true = rows["label"].to_pylist()
    classes = sorted({*true, "left", "right"} if {*true} <= {"left", "right"} else {*true})
    if len(classes) < 2:
        raise LabelError(f"--made-wrong needs two classes at least, and all are {classes[0]!r}")
    noisy = corrupt_labels(
        [classes.index(label) for label in true],
        rows["particle_id"].to_numpy(),
        kind=settings.noise,
        error_rate=error_rate,
        seed=settings.seed,
        n_classes=len(classes),
    )
    labels = [classes[index] for index in noisy.given_labels]
    return state_labels(rows, labels, error_rate=noisy.error_rate, noise=settings.noise), {
        "method": f"truth, {settings.noise}",
        "error_rate": noisy.error_rate,
        "n_particles": particles.num_rows,
        "n_labelled": rows.num_rows,
        "coverage": rows.num_rows / particles.num_rows,
        "conflict": 0.0,
        "accuracy": 1 - noisy.error_rate,
    }


def _known_labels(archive: Archive, mosaics: Sequence[str]) -> pa.Table:
    from pipelines.segmentation.scoring import known_labels

    known = known_labels(archive, mosaics)
    if not known.num_rows:
        note("no particle of these mosaics is of known class: nothing to compare labels with")
    return known
