import errno

import numpy as np
import pytest
import tifffile

from pipelines.errors import MosaicError
from pipelines.mosaic import converter_child
from pipelines.mosaic.conversion import UnknownPixelSizeError
from pipelines.mosaic.converter_child import work


@pytest.fixture
def job(tmp_path, monkeypatch):
    # This process must keep its memory.
    monkeypatch.setattr(converter_child, "limit_memory", lambda *sizes: 0)
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, np.ones((4, 6), "uint8"), photometric="minisblack")
    return {
        "source": str(path),
        "kind": "tiff",
        "name": "m",
        "folder": str(tmp_path),
        "key": "k",
        "pixel_size_nm": 1.0,
    }


def test_a_conversion_reports_sizes_and_then_what_was_made(job):
    events = []

    answer = work(job, lambda **event: events.append(event))

    assert events == [{"event": "opened", "n_pixels": 24}]
    assert answer["event"] == "done"
    assert (answer["info"]["shape"], answer["info"]["dtype"]) == ([4, 6], "uint8")


@pytest.mark.parametrize(
    ("error", "event", "again", "reason"),
    [
        (MosaicError("it is odd"), "refused", False, "it is odd"),
        (UnknownPixelSizeError("how large?"), "refused", True, "how large?"),
        (MemoryError(), "refused", True, "reading it needs more memory than its size explains"),
        (
            RuntimeError("bad\n  code"),
            "refused",
            None,
            "it is damaged: its reader failed with RuntimeError (bad code)",
        ),
        (
            KeyError(),
            "refused",
            None,
            "it is damaged: its reader failed with KeyError (no details)",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "x.tif"),
            "refused",
            True,
            "it cannot be read: Permission denied (x.tif)",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "full", None, None),
        (OSError(errno.EDQUOT, "quota"), "full", None, None),
        # What the Rust writer raises.
        (RuntimeError("IO error: No space left on device (os error 28)"), "full", None, None),
    ],
)
def test_whatever_a_reader_raises_becomes_an_answer(job, monkeypatch, error, event, again, reason):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(converter_child, "convert", fail)

    answer = work(job, lambda **event: None)

    assert (answer["event"], answer.get("again")) == (event, again)
    assert reason is None or answer["reason"] == reason


def test_a_full_disk_is_seen_behind_another_error(job, monkeypatch):
    def fail(*args, **kwargs):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("cannot write chunk") from error

    monkeypatch.setattr(converter_child, "convert", fail)

    assert work(job, lambda **event: None)["event"] == "full"
