"""Versions of the labels: which there are, what differs, who and what made them, and going back.

Nothing is overwritten: every change of a label is a new version that knows its parent. A label is
given (weak), flagged or proposed (in doubt), accepted or rejected (decided), undeterminable, or
released.
"""

ACTIONS: dict[str, tuple[str, str]] = {
    "list": ("services.verbs.versions.list_versions", "all versions, the newest first"),
    "show": ("services.verbs.versions.show", "one version: what it holds, who and what made it"),
    "diff": ("services.verbs.versions.diff", "what differs between two versions"),
    "export": ("services.verbs.versions.export", "a version as Parquet, CSV, COCO or OME-Zarr"),
    "import": ("services.verbs.versions.import_csv", "an edited CSV export: a new version"),
    "release": ("services.verbs.versions.release", "release decided labels: a new version"),
    "rollback": ("services.verbs.versions.rollback", "an earlier version's labels as a new one"),
    "verify": ("services.verbs.versions.verify", "recompute all digests"),
}
