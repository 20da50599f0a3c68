"""Runs in MLflow: settings, curves, figures, digests. The driver alone writes."""

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipelines.archive import Archive
from pipelines.errors import ModelError, SettingsError
from pipelines.places import in_bucket
from services.secrets import has_password, without_passwords

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

EXPERIMENT = "tessera"
#: MLflow refuses longer values of parameters and tags.
_MAX_VALUE = 5000


@dataclass(frozen=True)
class TrackedRun:
    """A run that is being written."""

    client: "MlflowClient"
    run_id: str

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags; what is not text becomes JSON."""
        from mlflow.entities import RunTag

        tags = [RunTag(key, _text(value)) for key, value in values.items()]
        self.client.log_batch(self.run_id, tags=tags)

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Log metrics of one step."""
        self.history([values], first_step=step)

    def history(self, rows: Sequence[Mapping[str, float]], *, first_step: int = 1) -> None:
        """Log a row of metrics per step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(key, float(value), now, step)
            for step, row in enumerate(rows, start=first_step)
            for key, value in row.items()
        ]
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def figure(self, name: str, figure: "Figure") -> None:
        """Keep a figure as ``figures/NAME.png``."""
        self.client.log_figure(self.run_id, figure, f"figures/{name}.png")

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file, or all files of a folder."""
        if in_bucket(path):
            with TemporaryDirectory() as copy:
                (Path(copy) / path.name).write_bytes(path.read_bytes())
                self.client.log_artifact(self.run_id, str(Path(copy) / path.name), folder)
        elif path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def dataset(self, name: str, digest: str, *, source: str, context: str) -> None:
        """Point to the data that the run read: a label version, say, by its digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self.client.log_inputs(
            self.run_id,
            datasets=[
                DatasetInput(
                    Dataset(name, digest, "delta", json.dumps({"uri": source})),
                    [InputTag("mlflow.data.context", context)],
                )
            ],
        )


def warm() -> None:
    """Begin to import MLflow, which takes seconds, while something else is going on."""
    threading.Thread(target=_import, name="import-mlflow", daemon=True).start()


def open_client(archive: Archive, tracking_uri: str | None = None) -> "MlflowClient":
    """Open the tracking store: the archive's own by default, which is made if it is not there.

    A server's user and password come from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD
    alone: what stands in settings is written down with every run.

    Raises
    ------
    SettingsError
        If a server does not answer or does not let us in, or its address holds a password.
    """
    if tracking_uri is not None and has_password(tracking_uri):
        raise SettingsError(
            f"--tracking-uri: {without_passwords(tracking_uri)} must not hold a user or password; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        )
    _import()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = store_uri(archive, tracking_uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    local = tracking_uri is None
    # Two processes that make the same SQLite file at once leave it broken for good.
    with _alone(archive.local / ".mlflow.lock"):
        try:
            if client.get_experiment_by_name(EXPERIMENT) is None:
                place = (archive.local / "mlartifacts").absolute().as_uri() if local else None
                client.create_experiment(EXPERIMENT, artifact_location=place)
        except MlflowException as error:
            raise SettingsError(f"tracking store {uri} {why_refused(error)}") from error
    return client


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Say in one line what a tracking store refuses in the block.

    Raises
    ------
    ModelError
        Beginning with ``what``.
    """
    _import()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise ModelError(f"{what} is not registered") from error
        raise ModelError(f"{what}: its store {why_refused(error)}") from error


def why_refused(error: Exception) -> str:
    """Say in a line why a tracking store did not do what it was asked."""
    said = str(error) or type(error).__name__
    if "error code 401" in said:
        return (
            "refuses the user or password: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    if "error code 403" in said:
        return "does not allow that to this user (MLFLOW_TRACKING_USERNAME)"
    return f"cannot be used: {without_passwords(said.splitlines()[0])}"


def store_uri(archive: Archive, tracking_uri: str | None) -> str:
    """Return where runs are kept."""
    return tracking_uri or f"sqlite:///{(archive.local / 'mlflow.db').absolute()}"


@contextmanager
def track_run(
    archive: Archive,
    verb: str,
    settings: Mapping[str, Any],
    *,
    tracking_uri: str | None = None,
) -> Iterator[TrackedRun]:
    """Write a run in MLflow for the length of the block; an error marks it as failed.

    Parameters
    ----------
    archive : Archive
        The archive that the run is about.
    verb : str
        What it does.
    settings : mapping
        Logged as parameters.
    tracking_uri : str, optional
        An MLflow server; by default a database in the archive.
    """
    from services.versions import code_version, library_versions

    client = open_client(archive, tracking_uri)
    from mlflow.entities import Param
    from mlflow.exceptions import MlflowException

    try:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        created = client.create_run(experiment.experiment_id, run_name=verb)
    except MlflowException as error:
        uri = store_uri(archive, tracking_uri)
        raise SettingsError(f"tracking store {uri} {why_refused(error)}") from error
    run = TrackedRun(client, created.info.run_id)
    try:
        params = [Param(key, _text(value)) for key, value in settings.items()]
        # All at once: a server takes its time over every request.
        client.log_batch(run.run_id, params=params)
        run.tags({"verb": verb, "code_version": code_version(), "libraries": library_versions()})
        yield run
    except BaseException as error:
        ended = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        reason = without_passwords(f"{type(error).__name__}: {error}")
        client.set_tag(run.run_id, "reason", _text(reason))
        client.set_terminated(run.run_id, ended)
        raise
    client.set_terminated(run.run_id, "FINISHED")


def _import() -> None:
    """Import MLflow quietly: it neither reports home nor comments on its database."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import mlflow  # noqa: F401

    # MLflow sets its own level when it is imported.
    logging.getLogger("mlflow").setLevel(logging.ERROR)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return text[:_MAX_VALUE]
