"""``tessera doctor``: what this machine has, what is missing, and how to get it."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field

from pipelines.places import in_bucket, local_folder, place
from services.machine import (
    MISSING,
    OK,
    OPTIONAL,
    WARNING,
    Check,
    check_machine,
    nearest_folder,
    why_not_writable,
)
from services.outcome import CALLERS_MISTAKE, DONE, Outcome
from services.settings import VerbSettings

#: An answer that takes longer over the local network will not come.
TIMEOUT_S = 1.0


class Settings(VerbSettings):
    """Say what this machine has, what is missing, and how to get it.

    A line per thing: ok; optional (not there, and not needed); warning (it works, but worse
    than it could); missing (needed). Exit status 2 where something needed is missing.
    """

    archive: Path | None = Field(None, description="an archive to look at: can it be written?")
    tracking_uri: str | None = Field(
        None, description="MLflow server to reach; by default a database in the archive"
    )
    deep: bool = Field(False, description="also import every library and start Ray (half a minute)")


@dataclass(frozen=True)
class Diagnosis(Outcome):
    """An outcome that shows its checks, and fails where something needed is missing."""

    checks: tuple[Check, ...] = ()

    @property
    def status(self) -> int:
        """2 where something needed is missing, else 0."""
        missing = any(check.status == MISSING for check in self.checks)
        return CALLERS_MISTAKE if missing else DONE

    def line(self) -> str:
        """Write a line per check, remedies below them, then the counts as key=value."""
        lines = []
        for check in self.checks:
            lines.append(f"{check.status:<9}{check.name:<15}{check.found}")
            if check.remedy:
                lines.append(f"{'':<24}-> {check.remedy}")
        return "\n".join([*lines, super().line()])

    def json(self) -> str:
        """Give the same as one JSON object."""
        checks = [asdict(check) for check in self.checks]
        return json.dumps({"done": self.word, **self.values, "checks": checks}, default=str)


def execute(settings: Settings) -> Diagnosis:
    """Make every check and count the results."""
    from services.versions import code_version

    checks = [
        Check("tessera", OK, code_version()),
        *check_machine(_folder_of(settings.archive)),
        check_ray(),
        *check_archive(settings.archive),
        check_tracking(settings.tracking_uri),
    ]
    if settings.deep:
        checks += [check_imports(), check_embedded_ray()]
    counts = {
        name: sum(check.status == status for check in checks)
        for name, status in (
            ("ok", OK),
            ("optional", OPTIONAL),
            ("warnings", WARNING),
            ("missing", MISSING),
        )
    }
    return Diagnosis("examined", counts, checks=tuple(checks))


def _folder_of(archive: Path | None) -> Path:
    """Return the folder whose disk the archive needs."""
    if archive is None:
        return Path.cwd()
    return local_folder(place(archive)) if in_bucket(place(archive)) else archive


def check_ray() -> Check:
    """Say which Ray the verbs would use."""
    address = os.environ.get("RAY_ADDRESS")
    if address:
        return Check("ray", OK, f"RAY_ADDRESS is set: verbs join the cluster at {address}")
    return Check("ray", OK, "verbs start an embedded Ray; --address joins a cluster")


def check_archive(path: Path | None) -> list[Check]:
    """See whether the archive is one, can be written, and is free."""
    from pipelines.archive import open_archive
    from pipelines.errors import ArchiveError
    from pipelines.places import check_reachable
    from pipelines.quarantine import list_quarantine
    from services.lock import current_holder

    if path is None:
        return []
    path = place(path)
    if in_bucket(path):
        try:
            check_reachable(path)
        except ArchiveError as error:
            remedy = "see the README's section on archives in a bucket"
            return [Check("archive", MISSING, str(error), remedy)]
    if in_bucket(path) and not path.exists():
        return [Check("archive", OK, f"{path} is not there yet; ingest and run make it")]
    if not path.exists():
        folder = nearest_folder(path)
        if why := why_not_writable(folder):
            remedy = "give a folder that can be written"
            return [Check("archive", MISSING, f"{path} cannot be made: {folder}: {why}", remedy)]
        return [Check("archive", OK, f"{path} is not there yet; ingest and run make it")]
    try:
        archive = open_archive(path)
    except ArchiveError as error:
        return [Check("archive", MISSING, str(error), "give an archive, or a new folder")]
    n_mosaics, n_cases = len(archive.mosaic_names()), len(list_quarantine(archive))
    checks = [Check("archive", OK, f"{path} holds {n_mosaics} mosaics")]
    if n_cases:
        found = f"{n_cases} files or tiles could not be processed"
        remedy = f"the reasons are in {archive.quarantine}"
        checks.append(Check("quarantine", WARNING, found, remedy))
    for folder in (archive.root, archive.mosaics, archive.root / "tables"):
        if not in_bucket(path) and folder.is_dir() and (why := why_not_writable(folder)):
            remedy = "mend its owner or permissions, or the mount"
            checks[0] = Check("archive", MISSING, f"{folder} cannot be written: {why}", remedy)
            return checks
    if holder := current_holder(archive):
        remedy = "wait for it; verbs exit 75 meanwhile"
        checks.append(Check("lock", WARNING, f"held by {holder}", remedy))
    else:
        checks.append(Check("lock", OK, "no other run holds the archive"))
    return checks


def check_tracking(uri: str | None) -> Check:
    """See whether the tracking server answers."""
    import urllib.error
    import urllib.request

    if uri is None:
        return Check("tracking", OK, "a database in the archive; --tracking-uri names a server")
    if not uri.startswith(("http://", "https://")):
        return Check("tracking", OK, f"{uri} needs no server")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=TIMEOUT_S):
            return Check("tracking", OK, f"{uri} answers")
    except urllib.error.HTTPError as error:
        # It answers, but not as MLflow does: a proxy, a login page, or another service.
        remedy = "is this an MLflow server? does it allow this host and user?"
        return Check("tracking", WARNING, f"{uri} answers {error.code} {error.reason}", remedy)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        remedy = "start it (mlflow server), mend the address, or leave --tracking-uri out"
        return Check("tracking", MISSING, f"{uri} does not answer: {reason}", remedy)


def check_imports() -> Check:
    """Import every required library, as a broken one shows only then."""
    import importlib
    from importlib import metadata

    from services.machine import DISTRIBUTION, requirements

    modules = metadata.packages_distributions()
    broken = []
    for need in requirements(None):
        names = [name for name, owners in modules.items() if need.name in owners]
        for name in (name for name in names if not name.startswith("_")):
            try:
                importlib.import_module(name)
            except Exception as error:
                broken.append(f"{name}: {type(error).__name__}: {error}".splitlines()[0])
    if broken:
        remedy = f"pip install --force-reinstall {DISTRIBUTION}"
        return Check("imports", MISSING, "; ".join(broken), remedy)
    return Check("imports", OK, "every required library can be imported")


def check_embedded_ray() -> Check:
    """Start an embedded Ray, run one task on it, and stop it."""
    import ray

    from cluster.session import connect

    started = time.monotonic()
    try:
        with connect("local", num_cpus=1):
            ray.get(ray.remote(lambda: None).remote(), timeout=60)
    except Exception as error:
        remedy = "see ray.log beside its session in the temporary folder"
        text = f"does not start: {type(error).__name__}: {error}".splitlines()[0]
        return Check("embedded ray", MISSING, text, remedy)
    return Check(
        "embedded ray", OK, f"started and ran a task in {time.monotonic() - started:.1f} s"
    )
