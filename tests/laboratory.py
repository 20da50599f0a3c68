"""A small laboratory for stories and benchmarks of nights: an instrument, an archive, a person."""

import csv
import fnmatch
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import deltalake
from mlflow import MlflowClient

from pipelines.archive import Archive, open_archive
from pipelines.labels.table import ACCEPTED
from pipelines.ledger import DONE
from pipelines.quarantine import list_quarantine
from pipelines.segmentation.scoring import known_labels
from pipelines.tables import read_rows, to_table
from services.label_store import commit_labels, list_versions, read_labels
from services.nightly.journal import Journal, read_journal
from services.outcome import Outcome
from services.tracking import store_uri
from services.trust.entry import enter_trusted
from services.verbs import ingest, relabel, segment, simulate

REFERENCE = "reference"
#: A night that takes seconds: a few small trainings on small crops.
QUICK = """
assume = "right"
hold_out = ["reference"]
epochs = 8
input_px = 24
learning_rate = 0.01

[cluster]
workers = 1

[relabel]
settle_s = 0

[clean]
folds = 2
repeats = 1

[train]
test_share = 0.1
"""
_MIRRORED = {"left": "right", "right": "left"}


@dataclass
class Laboratory:
    """An archive, the folder that its instrument writes into, and what the nights said.

    ``accuracy`` is the share of the reference's particles that the champion told right after each
    night.
    """

    folder: Path
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.folder / "archive"

    @property
    def archive(self) -> Archive:
        return open_archive(self.root)

    @property
    def scans(self) -> Path:
        return self.folder / "scans"

    def open(self, settings: str = QUICK, *, particles: int = 120) -> "Laboratory":
        """Make the archive, with a racemic reference of which a person has checked every class."""
        self.scans.mkdir()
        self.write_settings(settings)
        source = self.scan(
            REFERENCE, seed=100, folder=self.folder, left=0.5, particles=particles, size_px=1536
        )
        self.take_in(source)
        sheet = self.folder / "checked.csv"
        with sheet.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["particle_id", "label"])
            lines.writerows(self.truth(REFERENCE).items())
        enter_trusted(self.archive, sheet, checked_by="ada")
        return self

    def write_settings(self, settings: str) -> None:
        (self.folder / "settings.toml").write_text(settings)

    def scan(
        self,
        name: str,
        *,
        seed: int,
        folder: Path | None = None,
        left: float = 0.25,
        particles: int = 50,
        size_px: int = 1024,
        **order: Any,
    ) -> Path:
        """Let the instrument write a mosaic."""
        path = (folder or self.scans) / f"{name}.ome.zarr"
        simulate.execute(
            simulate.Settings(
                out=path,
                size_px=size_px,
                particles=particles,
                left_fraction=left,
                seed=seed,
                workers=1,
                **{"preset": "easy", **order},
            )
        )
        return path

    def take_in(self, *sources: Path) -> None:
        """Ingest and segment by hand."""
        ingest.execute(ingest.Settings(archive=self.root, sources=sources))
        segment.execute(segment.Settings(archive=self.root, workers=1))

    def settings(self, night: str) -> relabel.Settings:
        flags = {"archive": self.root, "watch_dir": (self.scans,), "run_id": night}
        return relabel.Settings.load("relabel", self.folder / "settings.toml", flags)

    def relabel(self, night: str) -> Outcome:
        """Let a night happen in this process, and see how good the champion is after it."""
        self.outcomes[night] = relabel.execute(self.settings(night))
        champion = self.outcomes[night].values.get("champion", "none")
        if champion != "none":
            self.accuracy[night] = self.accuracy_of(champion)
        return self.outcomes[night]

    def begin(self, night: str) -> "subprocess.Popen[bytes]":
        """Begin a night in a process of its own, on one thread so that it can be compared."""
        command = [sys.executable, "-m", "services", "relabel"]
        command += ["--settings", str(self.folder / "settings.toml"), "--run-id", night]
        command += ["--archive", str(self.root), "--watch-dir", str(self.scans)]
        with (self.folder / f"{night}.stderr").open("ab") as said:
            return subprocess.Popen(
                command,
                stdout=said,
                stderr=said,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def said(self, night: str) -> str:
        """Return what a night in a process of its own printed."""
        return (self.folder / f"{night}.stderr").read_text(encoding="utf-8")

    def journal(self, night: str) -> Journal | None:
        return read_journal(self.archive, night)

    def truth(self, *mosaics: str) -> dict[int, str]:
        """Return the class of every particle whose image shows it."""
        known = known_labels(self.archive, mosaics)
        known = known.filter(known["determinable"])
        ids, labels = known["particle_id"].to_pylist(), known["label"].to_pylist()
        return dict(zip(ids, labels, strict=True))

    def accuracy_of(self, champion: str, mosaic: str = REFERENCE) -> float:
        """Share of a mosaic's particles that a model tells right."""
        truth = self.truth(mosaic)
        said = read_rows(
            self.archive,
            "predictions",
            filters=[("model_uri", "=", champion), ("mosaic", "=", mosaic)],
        ).to_pylist()
        right = [
            row["label"] == truth[row["particle_id"]] for row in said if row["particle_id"] in truth
        ]
        return sum(right) / len(right)

    def sabotage(self) -> None:
        """Somebody decides that every label is that of the mirror image."""
        rows = [
            {**row, "label": _MIRRORED[row["label"]], "state": ACCEPTED, "decided_by": "mallory"}
            for row in read_labels(self.archive).to_pylist()
        ]
        commit_labels(
            self.archive,
            to_table("labels", rows),
            method="sabotage",
            author="mallory",
            run_id="",
            code_version="0",
        )


def contents(archive: Archive) -> dict[str, Any]:
    """Return what an archive holds, but for times, run ids, paths and the order of rows."""
    tables = {}
    for name, left_out in [
        ("particles", ()),
        ("truth", ()),
        ("labels", ()),
        ("predictions", ()),
        ("trusted", ("at",)),
        ("nights", ("started", "finished", "report", "tracking_run")),
    ]:
        rows = read_rows(archive, name).drop_columns(list(left_out)).to_pylist()
        tables[name] = sorted(rows, key=lambda row: json.dumps(row, default=str, sort_keys=True))
    ledger = read_rows(archive, "ledger", columns=["key", "stage", "mosaic", "unit", "status"])
    return {
        **tables,
        # What was done twice is in the ledger twice, and counts once.
        "ledger": {tuple(row.values()) for row in ledger.to_pylist()},
        "label versions": [(v.version, v.digest, v.method) for v in list_versions(archive)],
        "instances": {
            name: _instances(archive, name) for name in archive.mosaic_names()
        },
        "quarantine": [(c.stage, c.mosaic, c.unit, c.reason) for c in list_quarantine(archive)],
        "models": _models(archive),
    }  # fmt: skip


def bytes_of_labels(archive: Archive, version: int) -> dict[str, bytes]:
    """Return the data files behind a version of the labels."""
    table = deltalake.DeltaTable(str(archive.table("labels")), version=version)
    return {Path(uri).name: Path(uri).read_bytes() for uri in table.file_uris()}


def _instances(archive: Archive, name: str) -> dict[str, str]:
    from pipelines.digests import digest_file

    folder = archive.mosaic(name) / "labels" / "instances"
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _models(archive: Archive) -> dict[str, Any]:
    """Return weights and aliases of all registered models."""
    if not (archive.root / "mlflow.db").exists():
        return {}
    client = MlflowClient(store_uri(archive, None))
    versions = {
        f"{found.name}/{found.version}": found.tags["weights_digest"]
        for found in client.search_model_versions()
    }
    aliases = {
        found.name: {alias: str(v) for alias, v in found.aliases.items()}
        for found in client.search_registered_models()
    }
    return {"versions": versions, "aliases": aliases}


def is_there(folder: Path, pattern: str) -> bool:
    """Tell whether anything below a folder that is being written to has such a name."""
    # Path.rglob ends with an error when a folder that it has seen is renamed before it looks in.
    return any(fnmatch.filter(dirs + files, pattern) for _, dirs, files in os.walk(folder))


def is_done(journal: Journal | None) -> bool:
    """Tell whether a night came to its end."""
    return journal is not None and journal.status == DONE
