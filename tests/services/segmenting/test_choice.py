import pytest

from pipelines.archive import create_archive
from pipelines.errors import SettingsError
from services.segmenting.choice import Choice, choose, recall, remember


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def choice(method, sizes):
    return Choice(method, sizes, (20.0, 25.0), 0.9, 0.8, 0.7, 6, (method, "otsu"), "report.html")


def put(archive, *choices):
    remember(archive, choices, run_id="r", code_version="1")


def test_what_was_chosen_comes_back_as_it_was(archive):
    put(archive, choice("learned:grains/3", (2.0, 2.4)))

    assert recall(archive) == [choice("learned:grains/3", (2.0, 2.4))]


def test_a_later_choice_for_the_same_pixel_sizes_takes_the_place(archive):
    put(archive, choice("otsu", (2.0, 2.0)))
    put(archive, choice("local", (2.0, 2.0)))

    assert [found.method for found in recall(archive)] == ["local"]


@pytest.mark.parametrize(
    ("pixel_size_nm", "method"), [(1.9, "fine"), (2.9, "fine"), (5.0, "coarse"), (9.9, "coarse")]
)
def test_the_nearest_pixel_size_decides(archive, pixel_size_nm, method):
    put(archive, choice("fine", (2.0, 2.0)), choice("coarse", (6.0, 8.0)))

    assert choose(archive, "m", pixel_size_nm).method == method


def test_unknown_pixel_sizes_are_a_choice_of_their_own(archive):
    put(archive, choice("fine", (2.0, 2.0)), choice("any", None))

    assert choose(archive, "m", None).method == "any"


@pytest.mark.parametrize(
    ("pixel_size_nm", "said"), [(0.5, "is 0.5 nm"), (20.0, "is 20 nm"), (None, "is unknown")]
)
def test_a_pixel_size_that_nothing_was_compared_at_is_refused(archive, pixel_size_nm, said):
    put(archive, choice("fine", (2.0, 2.0)))

    with pytest.raises(SettingsError, match=rf"--method auto: .* mosaic m {said}.* at 2 nm"):
        choose(archive, "m", pixel_size_nm)


def test_without_any_comparison_the_way_to_one_is_told(archive):
    with pytest.raises(SettingsError, match="tessera segmenter evaluate --truth DIR"):
        choose(archive, "m", 2.0)
