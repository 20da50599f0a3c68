"""What a label version says of itself, as the metadata of the commit that made it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import deltalake

from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.errors import LabelError
from pipelines.tables import has_table, open_table

#: How the content digest was made: as a sum over rows, or, in versions from before, all at once.
BY_ROWS, AT_ONCE = "rows", "table"
#: Commits that are looked through for the newest label version before all are.
_LAST_N = 16
_SEALED = (
    "digest", "digest_kind", "parent_version", "parent_digest", "method", "author", "run_id",
    "model_uri", "code_version", "mosaics", "n_rows", "n_labelled", "at", "rules",
)  # fmt: skip


@dataclass(frozen=True)
class LabelVersion:
    """One version of the labels: what it holds, what it came from, and who and what made it.

    ``n_labelled`` counts rows with a label; the others are abstentions and undeterminable ones.
    ``rules`` is what the maker reported about itself. ``seal`` digests all of this together with
    the parent's seal; versions from before there were seals have none. ``is_new`` is False where
    a commit found nothing to change and returned the version that was there.
    """

    version: int
    digest: str
    parent_version: int | None
    parent_digest: str | None
    method: str
    author: str
    run_id: str
    model_uri: str | None
    code_version: str
    mosaics: tuple[str, ...]
    n_rows: int
    n_labelled: int
    at: datetime
    rules: Mapping[str, Any] = field(default_factory=dict)
    digest_kind: str = BY_ROWS
    seal: str = ""
    is_new: bool = True


def list_versions(archive: Archive, *, limit: int | None = None) -> list[LabelVersion]:
    """Return the newest label versions (all, without a limit), oldest first."""
    if not has_table(archive, "labels"):
        return []
    table = open_table(archive, "labels")
    found = _read(table, None if limit is None else limit + _LAST_N)
    if limit is not None and len(found) < limit:
        found = _read(table, None)
    return found[-limit:] if limit else found


def current_version(archive: Archive) -> LabelVersion | None:
    """Return the newest label version, or None where nothing was labelled yet."""
    versions = list_versions(archive, limit=1)
    return versions[-1] if versions else None


def find_version(archive: Archive, version: int) -> LabelVersion:
    """Return the label version with this number.

    Raises
    ------
    LabelError
        If there is none.
    """
    versions = list_versions(archive)
    for found in versions:
        if found.version == version:
            return found
    there = f"versions are 0 to {versions[-1].version}" if versions else "nothing is labelled yet"
    raise LabelError(f"label version {version} does not exist in {archive.root}; {there}")


def newest_in(table: deltalake.DeltaTable) -> LabelVersion | None:
    """Return the newest label version up to the version at which a table was opened."""
    for limit in (_LAST_N, None):
        upto = [found for found in _read(table, limit) if found.version <= table.version()]
        if upto:
            return upto[-1]
    return None


def is_label_version(commit: Mapping[str, Any]) -> bool:
    """Tell a label version from Delta's own upkeep."""
    return "digest" in commit


def sealed(made: LabelVersion, parent_seal: str) -> LabelVersion:
    """Return the version with its seal."""
    return replace(made, seal=seal_of(to_commit(made), parent_seal))


def seal_of(commit: Mapping[str, Any], parent_seal: str) -> str:
    """Digest what a commit says of itself, and its parent's seal."""
    return digest_json([{name: str(commit.get(name)) for name in _SEALED}, parent_seal])


def to_commit(made: LabelVersion) -> dict[str, str]:
    """Write a version as Delta commit metadata: texts alone."""
    return {
        "digest": made.digest,
        "digest_kind": made.digest_kind,
        "parent_version": "" if made.parent_version is None else str(made.parent_version),
        "parent_digest": made.parent_digest or "",
        "method": made.method,
        "author": made.author,
        "run_id": made.run_id,
        "model_uri": made.model_uri or "",
        "code_version": made.code_version,
        "mosaics": json.dumps(made.mosaics),
        "n_rows": str(made.n_rows),
        "n_labelled": str(made.n_labelled),
        "at": made.at.isoformat(),
        "rules": json.dumps(made.rules),
        "seal": made.seal,
    }


def from_commit(commit: Mapping[str, Any]) -> LabelVersion:
    """Read what `to_commit` wrote."""
    return LabelVersion(
        version=int(commit["version"]),
        digest=commit["digest"],
        digest_kind=commit.get("digest_kind", AT_ONCE),
        parent_version=int(commit["parent_version"]) if commit["parent_version"] else None,
        parent_digest=commit["parent_digest"] or None,
        method=commit["method"],
        author=commit["author"],
        run_id=commit["run_id"],
        model_uri=commit["model_uri"] or None,
        code_version=commit["code_version"],
        mosaics=tuple(json.loads(commit["mosaics"])),
        n_rows=int(commit["n_rows"]),
        n_labelled=int(commit["n_labelled"]),
        at=datetime.fromisoformat(commit["at"]),
        rules=json.loads(commit["rules"]),
        seal=commit.get("seal", ""),
    )


def _read(table: deltalake.DeltaTable, limit: int | None) -> list[LabelVersion]:
    commits = table.history(limit)
    found = [from_commit(commit) for commit in commits if is_label_version(commit)]
    return sorted(found, key=lambda version: version.version)
