"""A night is killed again and again, and leaves in the end what it would have left anyway."""

import shutil
import time
from collections.abc import Callable

import pytest

from tests.laboratory import QUICK, Laboratory, contents, is_done, is_there

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]
PATIENCE_S = 240.0
NIGHT = "night"
#: Long enough to be killed in the middle of training; how good the model is does not matter.
SHORT = QUICK.replace("epochs = 8", "epochs = 4")


@pytest.fixture(scope="module")
def segmented(tmp_path_factory, embedded_ray) -> Laboratory:
    """An archive before its first night, all mosaics segmented: Ray is not needed any more."""
    lab = Laboratory(tmp_path_factory.mktemp("segmented")).open(SHORT)
    lab.take_in(lab.scan("a", seed=1), lab.scan("b", seed=2))
    return lab


@pytest.fixture
def copy(segmented, tmp_path) -> Callable[[str], Laboratory]:
    """Copy the laboratory; both look at the same scans, whose paths are in the ledger."""

    def copy(name: str) -> Laboratory:
        shutil.copytree(segmented.folder, tmp_path / name, ignore=shutil.ignore_patterns("scans"))
        (tmp_path / name / "scans").symlink_to(segmented.scans)
        return Laboratory(tmp_path / name)

    return copy


def kill_when(lab: Laboratory, condition: Callable[[], object]) -> None:
    """Begin the night, or go on with it, and kill it when it has come so far."""
    process = lab.begin(NIGHT)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not condition():
            assert process.poll() is None, lab.said(NIGHT)
            assert time.monotonic() < deadline, lab.said(NIGHT)
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()


def finish(lab: Laboratory) -> None:
    assert lab.relabel(NIGHT).status == 0
    assert is_done(lab.journal(NIGHT))


@pytest.mark.cluster
def test_a_night_that_is_killed_three_times_ends_as_one_that_was_not(copy):
    undisturbed, killed = copy("undisturbed"), copy("killed")
    undisturbed.relabel(NIGHT)

    work = killed.archive.scratch
    for condition in (
        lambda: killed.archive.table("labels").exists(),
        lambda: is_there(work / "clean", "*.npy"),
        lambda: is_there(work / "train", "epoch-0000[2-9]"),
    ):
        kill_when(killed, condition)
    finish(killed)

    found, expected = contents(killed.archive), contents(undisturbed.archive)
    assert found.keys() == expected.keys()
    for what, values in expected.items():
        assert found[what] == values, what
    assert killed.journal(NIGHT).attempts == 4
