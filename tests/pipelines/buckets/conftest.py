import pytest

from pipelines.archive import open_archive
from pipelines.errors import ArchiveError
from pipelines.places import place


@pytest.fixture
def refusal():
    """Tell in which line an archive at an address is refused."""

    def refuse(url: str) -> str:
        with pytest.raises(ArchiveError) as refused:
            open_archive(place(url))
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return refuse
