"""``tessera defects evaluate``: compare detectors on images never seen; say what is leaking."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipelines.archive import Archive, open_archive
from pipelines.errors import SettingsError
from services.defects.inputs import GridSettings
from services.lock import hold
from services.outcome import Outcome

if TYPE_CHECKING:
    from services.defects.evaluation import Evaluation, MethodResult
    from services.tracking import TrackedRun

STAGE = "defects-evaluate"
#: Detectors that are compared unless others are named: those that take seconds.
DEFAULT_METHODS = (
    "lattice",
    "fourier",
    "blur-maximum",
    "one-class-svm",
    "one-class-svm-published",
    "isolation-forest",
    "isolation-forest-published",
)


class Settings(GridSettings):
    """Compare detectors by a protocol that cannot fool.

    Whole images (or sessions) are tested on that were neither learnt from nor used for the
    threshold. The same on a random split of patches shows how far that would flatter. The report
    leads with what could be mistaken for a defect: image, session, brightness.
    """

    labels: str = Field(description="known defects, as in fit: FILE.csv or labels/NAME")
    method: tuple[str, ...] = Field(
        (), description="detectors, or all; repeatable; the quick ones by default"
    )
    split: Literal["image", "session"] = Field("image", description="what is kept together")
    folds: int = Field(4, ge=2, le=100, description="parts that the groups are dealt to")
    random_split: bool = Field(True, description="also show what a random split would claim")
    most_patches: int = Field(50000, ge=1, description="patches that are read at most")
    name: str = Field(
        "evaluation", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="of the report"
    )


def execute(settings: Settings) -> Outcome:
    """Evaluate on an archive."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Evaluate, inside the caller's lock."""
    from services.threads import wait_politely

    wait_politely()
    from pipelines.defects.catalogue import METHODS, get_detector
    from services import tracking
    from services.defects.evaluation import evaluate
    from services.defects.inputs import read_data
    from services.progress import Progress
    from services.report.defects import write_evaluation_report
    from services.selection import select_mosaics

    methods = settings.method or DEFAULT_METHODS
    if methods == ("all",):
        methods = tuple(METHODS)
    for method in methods:
        get_detector(method)
    names = select_mosaics(archive, settings.mosaic).chosen
    if len(names) < 3:
        raise SettingsError(
            "--mosaic: at least 3 images are needed, to learn from, to choose a threshold on and "
            f"to test on; got {len(names)}"
        )
    tracking.warm()
    stride_px = settings.stride_px or settings.patch_px
    data = read_data(
        archive,
        names,
        settings,
        patch_px=settings.patch_px,
        stride_px=stride_px,
        most_patches=settings.most_patches,
    )
    groups = data.patches.images if settings.split == "image" else data.patches.sessions
    n_folds = min(settings.folds, len(set(groups.tolist())))
    progress = Progress(
        "defects evaluate", n_folds * len(methods) * (1 + settings.random_split), unit="folds"
    )
    with tracking.track_run(
        archive, STAGE, settings.model_dump(mode="json"), tracking_uri=settings.tracking_uri
    ) as run:
        found = evaluate(
            data.patches,
            data.kinds,
            methods,
            split=settings.split,
            n_folds=settings.folds,
            random_split_too=settings.random_split,
            false_alarms_per_image=settings.false_alarms,
            seed=settings.seed,
            on_fold=progress.advance,
        )
        _remember(run, found, data.label_digest)
        report = write_evaluation_report(
            archive, found, name=f"defects-{settings.name}", run_id=run.run_id
        )
    best = found.results[0]
    return Outcome(
        "evaluated",
        {
            "patches": len(data.patches),
            "defects": int(data.patches.is_defect.sum()),
            "prevalence": found.prevalence,
            "split": settings.split,
            "best": best.method,
            **_figures(best),
            "leaks": sum(leak.is_suspicious for leak in found.leaks),
            "report": str(report),
            "methods": {result.method: _figures(result) for result in found.results},
        },
        screen="\n".join(leak.said for leak in found.leaks if leak.is_suspicious),
    )


def _figures(result: "MethodResult") -> dict[str, float]:
    measured = result.measured
    return {
        "pr_auc": measured.pr_auc.value,
        "recall_at_1pct_fp": measured.recall.value,
        "roc_auc": measured.roc_auc.value,
        "random_minus_unseen_pr_auc": result.gap,
    }


def _remember(run: "TrackedRun", found: "Evaluation", label_digest: str) -> None:
    import math

    metrics: dict[str, Any] = {}
    for result in found.results:
        for name, value in _figures(result).items():
            if math.isfinite(value):
                metrics[f"{result.method}/{name}"] = value
    run.metrics(metrics)
    run.tags({"label_digest": label_digest, "leaks": [leak.said for leak in found.leaks]})
