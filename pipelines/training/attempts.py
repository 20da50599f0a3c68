"""Which epochs a training began, and so how many it began again."""

from pathlib import Path

_FILE = "epochs-begun.txt"


def note_begun(folder: Path, epoch: int) -> None:
    """Note beside the checkpoints that an epoch begins, again if it did before."""
    with (folder / _FILE).open("a", encoding="utf-8") as file:
        file.write(f"{epoch}\n")


def n_redone(folder: Path) -> int:
    """Count the epochs that were begun more than once, each time after the first.

    They are what a training lost with the workers, or the whole process, that it was cut off with.
    """
    try:
        begun = (folder / _FILE).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return 0
    return len(begun) - len(set(begun))
