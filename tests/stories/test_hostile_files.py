"""Files nobody vouches for are read or put in quarantine, and harm nothing else."""

import shutil

import numpy as np
import pytest
import tifffile

from pipelines.archive import Archive
from pipelines.mosaic.ome_zarr import open_mosaic
from pipelines.quarantine import list_quarantine


@pytest.fixture
def corrupt(shared_data, tmp_path):
    """The files of a fuzzer of TIFF readers, and a good one among them."""
    folder = tmp_path / "corrupt"
    for path in sorted((shared_data / "corrupt-tiff").rglob("*")):
        if path.is_file():
            folder.mkdir(exist_ok=True)
            # Some have no suffix, as instruments' files often do not.
            shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    tifffile.imwrite(folder / "good.tif", np.full((40, 50), 7, "uint16"))
    return folder


def test_every_corrupt_file_is_read_or_quarantined(tessera, corrupt, tmp_path):
    command = f"ingest {corrupt} --archive {tmp_path / 'a'} --allow-unknown-pixel-size".split()

    first = tessera(*command)
    again = tessera(*command)

    archive = Archive(tmp_path / "a")
    names = archive.mosaic_names()
    cases = list_quarantine(archive)
    assert (first.returncode, again.returncode) == (3, 3), first.stderr
    assert "Traceback" not in first.stderr + again.stderr
    assert len(names) + len(cases) == 60
    assert {case.unit for case in cases} <= {str(path) for path in corrupt.iterdir()}
    assert all(case.reason for case in cases)
    assert "good" in names
    assert len(names) < 10
    for name in names:
        mosaic = open_mosaic(archive.mosaic(name))
        assert mosaic.level(0)[...].shape == mosaic.info.shape
    assert {path.name for path in archive.mosaics.iterdir()} == {f"{n}.ome.zarr" for n in names}
    assert f"mosaics=0 unchanged={len(names)}" in again.stdout


def test_an_archive_without_one_readable_image_says_so_in_every_later_verb(tessera, tmp_path):
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "letter.png").write_bytes(b"dear all")

    ingested = tessera("ingest", tmp_path, "--archive", tmp_path / "a")
    segmented = tessera("segment", "--archive", tmp_path / "a")

    assert ingested.returncode == 3
    assert "it is empty" in ingested.stderr
    assert "its first bytes are no TIFF" in ingested.stderr
    assert segmented.returncode == 2
    assert "holds no mosaic" in segmented.stderr
