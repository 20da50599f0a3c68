from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.sweeps.trial import PREDICTIONS_FILE
from services.report.embedding import FigureFolder
from services.report.sweep_mirrors import mirror_sections
from services.report.sweep_results import Found


@pytest.fixture
def find(tmp_path):
    """Make results of trials of both hands, by method and error rate."""

    def find(*done: tuple[str, float]) -> Found:
        rows = {}
        for key, (method, rate) in zip("abcd", done, strict=False):
            rows[key] = {
                "method": method, "error_rate": rate, "seed": 0, "n_test": 4, "last": 0.75,
            }  # fmt: skip
            (tmp_path / key).mkdir()
            np.savez(
                tmp_path / key / PREDICTIONS_FILE,
                true_labels=np.array([0, 0, 1, 1]),
                pred_probs=np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]]),
                mirrored_probs=np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.8, 0.2]]),
            )
        plan = SimpleNamespace(
            variants=[SimpleNamespace(label=label) for label in ("ce", "gce")],
            error_rates=[0.2, 0.4],
            seeds=[0],
        )
        study = SimpleNamespace(has_mirror=True, classes=["left", "right"], mirrored_class=[1, 0])
        return Found(plan, study, rows, tmp_path)

    return find


@pytest.mark.parametrize(
    "done",
    [
        [("ce", 0.2), ("ce", 0.4), ("gce", 0.2), ("gce", 0.4)],
        [("ce", 0.2), ("ce", 0.4), ("gce", 0.2)],
        [("ce", 0.2), ("ce", 0.4)],
    ],
)
def test_mirrors_are_shown_of_what_there_is(find, tmp_path, done):
    found = find(*done)

    (section,) = mirror_sections(found, FigureFolder(tmp_path / "report"))

    assert [block.file for block in section.blocks] == [
        "report/mirror-gap.png",
        "report/population.png",
    ]
