"""``tessera versions verify``: recompute the digests of all label versions."""

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Recompute the digests of all label versions, and check parents and who made them.

    Ends with status 1, naming the first version that does not match, if the archive is damaged.
    """


def execute(settings: Settings) -> Outcome:
    """Verify."""
    from services.label_check import verify_versions
    from services.progress import Progress, note

    archive = open_archive(settings.archive)
    progress: Progress | None = None

    def on_commit(done: int, total: int) -> None:
        nonlocal progress
        progress = progress or Progress("verify", total, unit="commits")
        progress.advance()

    found = verify_versions(archive, on_commit=on_commit)
    if found.n_unsealed:
        note(
            f"{found.n_unsealed} versions are from before versions were sealed: of them the rows "
            "and parents are checked, not who made them"
        )
    values: dict[str, object] = {"versions": found.n_versions, "unsealed": found.n_unsealed}
    if found.damaged_version is None:
        return Outcome("verified", values)
    note(
        f"tessera: archive {archive.root} is damaged: label version {found.damaged_version}: "
        f"{found.damage}"
    )
    values |= {"damaged_version": found.damaged_version, "damage": found.damage}
    return Outcome("damaged", values, is_failure=True)
