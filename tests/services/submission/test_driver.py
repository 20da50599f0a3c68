from importlib import metadata

from services.submission.driver import other_libraries


def test_equal_libraries_are_no_reason_to_refuse():
    here = metadata.version("numpy")

    assert other_libraries({"numpy": here, "zarr": metadata.version("zarr")}) == ""


def test_builds_of_one_version_for_other_accelerators_are_equal():
    here = metadata.version("torch").partition("+")[0]

    assert other_libraries({"torch": f"{here}+cu128"}) == ""


def test_libraries_that_differ_or_lack_are_named():
    said = other_libraries({"numpy": "0.1", "nosuchlibrary": "3.0"})

    assert f"numpy {metadata.version('numpy')} instead of 0.1" in said
    assert "nosuchlibrary none instead of 3.0" in said
