"""``tessera sweep``: methods x error rates x seeds, with labels made wrong on purpose."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, PrivateAttr

from pipelines.archive import Archive, create_archive
from services.lock import hold
from services.outcome import Outcome
from services.progress import Progress, note
from services.settings import IN_CLUSTER_TABLE, ClusterSettings

if TYPE_CHECKING:
    from pipelines.sweeps.plan import SweepPlan
    from services.sweeping.preset import SweepPreset


class Settings(ClusterSettings):
    """Compare ways of learning while more and more labels are wrong.

    A preset says what is compared, on which data and at which budget: handedness, smoke, mnist,
    mnist-full, or a TOML file of your own. Where the archive has no mosaics, it simulates the
    preset's. Trials that are done are not done again, so an interrupted sweep goes on with the
    same command. Results are in the table `trials`, in MLflow, and in a report with figures.
    """

    preset: str = Field("handedness", description="name of a preset, or a TOML file")
    method: tuple[str, ...] = Field((), description="only these of its methods; repeatable")
    error_rate: tuple[float, ...] = Field(
        (), description="instead of its error rates, each at least 0 and below 1; repeatable"
    )
    seeds: int | None = Field(None, ge=1, description="only so many of its seeds")
    noise: str | None = Field(None, description="instead of its kind of noise")
    epochs: int | None = Field(None, ge=1, description="instead of its passes over the particles")
    data: Path | None = Field(None, description="folder of the MNIST files, for digits")
    trials_at_once: int | None = Field(
        None,
        ge=1,
        description="trials side by side; one per core or accelerator by default",
        json_schema_extra=IN_CLUSTER_TABLE,
    )
    scheduler: Literal["none", "asha"] = Field(
        "none", description="asha stops what falls behind: then budgets are not equal"
    )
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )
    _preset: Any = PrivateAttr(default=None)
    _plan: Any = PrivateAttr(default=None)

    @classmethod
    def load(cls, verb: str, toml: Path | None, flags: Mapping[str, Any]) -> Self:
        """Make settings, and refuse what cannot work before anything runs."""
        settings = super().load(verb, toml, flags)
        settings._preset, settings._plan = _plan(settings)
        return settings

    @property
    def planned(self) -> tuple["SweepPreset", "SweepPlan"]:
        """The preset and what is to be done of it."""
        return self._preset, self._plan


def execute(settings: Settings) -> Outcome:
    """Sweep on an archive, which is made if it is not there."""
    archive = create_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Gather the particles, run the trials that are not done, and report."""
    from cluster.session import one_session
    from services import tracking

    tracking.warm()
    with one_session():
        return _sweep(archive, settings)


def _sweep(archive: Archive, settings: Settings) -> Outcome:
    from dataclasses import replace

    import ray
    from torch.cuda import device_count

    from cluster.resources import connected_nodes, this_machine
    from pipelines.errors import SettingsError
    from pipelines.sweeps.flow import plan_room, read_result, run_trials
    from pipelines.sweeps.plan import plan_trials
    from services.report.blocks import count
    from services.report.sweep import write_sweep_report
    from services.sweeping.data import estimate_seconds, prepare_study
    from services.sweeping.results import Recorder

    preset, plan = settings.planned
    study = prepare_study(archive, preset.data, settings)
    trials = {trial.key(study.digest): trial for trial in plan_trials(plan)}
    folder = archive.scratch / "sweeps"
    new = {key for key in trials if read_result(folder / key) is None}
    left = [trials[key] for key in trials if key in new]
    n_done = len(trials) - len(left)
    with _connect_if(bool(left), settings.address):
        nodes = connected_nodes() if ray.is_initialized() else this_machine(device_count())
        wish = replace(settings.wish, workers=settings.trials_at_once or settings.workers)
        room = plan_room(nodes, wish)
        seconds = estimate_seconds(study, left) / room.n_at_once
        note(
            f"{preset.title}: {count(len(plan.variants), 'method')} x "
            f"{count(len(plan.error_rates), 'error rate')} x {count(len(plan.seeds), 'seed')} = "
            f"{count(len(trials), 'trial')}, {n_done} of them done; "
            f"{room.n_at_once} at once, about {max(1, round(seconds / 60))} min to go"
        )
        progress = Progress("sweep", len(trials), unit="trials")
        recorder = Recorder(archive, settings, study, trials)

        n_redone = 0

        def take(key: str, result: Mapping[str, Any]) -> None:
            nonlocal n_redone
            recorder.take(key, result)
            progress.advance(1)
            # Earlier runs have told what they did again.
            n_redone += result.get("epochs_redone", 0) if key in new else 0

        failures = run_trials(
            study.folder,
            trials,
            folder=folder,
            on_result=take,
            room=room,
            asha=settings.scheduler == "asha",
        )
        for key, reason in failures.items():
            at = trials[key]
            note(f"trial {at.variant.label} at {at.error_rate:g}, seed {at.seed}: {reason}")
        if not recorder.rows:
            raise SettingsError(f"no trial could be done: {next(iter(failures.values()))}")
        report = write_sweep_report(archive, preset.title, plan, study, recorder, folder)
    return Outcome(
        "swept",
        {
            "trials": len(recorder.rows),
            "unchanged": n_done,
            "epochs_redone": n_redone,
            "sweep": recorder.name,
            **recorder.headline(),
            "report": str(report),
        },
        n_quarantined=len(failures),
    )


@contextmanager
def _connect_if(wanted: bool, address: str | None) -> Iterator[None]:
    """Connect to Ray where there is something to run."""
    if not wanted:
        yield
        return
    from cluster.session import connect

    with connect(address):
        yield


def _plan(settings: Settings) -> tuple["SweepPreset", "SweepPlan"]:
    """Read the preset and apply what the caller wants otherwise.

    Raises
    ------
    SettingsError
        Naming what breaks its rule.
    """
    from dataclasses import replace

    from pipelines.errors import SettingsError
    from services.sweeping.preset import read_preset

    preset = read_preset(settings.preset)
    if preset.data.kind == "digits" and settings.data is None:
        raise SettingsError("--data must name the folder of the MNIST files, got none")
    plan = preset.plan()
    variants = [v for v in plan.variants if not settings.method or v.label in settings.method]
    known = [variant.label for variant in plan.variants]
    for label in settings.method:
        if label not in known:
            raise SettingsError(f"--method must be one of {', '.join(known)}, got {label!r}")
    plan = replace(
        plan,
        variants=variants,
        error_rates=settings.error_rate or plan.error_rates,
        seeds=plan.seeds[: settings.seeds],
        noise=settings.noise or plan.noise,
        loop=replace(plan.loop, n_epochs=settings.epochs or plan.loop.n_epochs),
    )
    return preset, plan
