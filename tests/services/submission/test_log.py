from services.submission.log import echo, lines_of, other_lines, read_result, result_lines

LOG = """2026-11-25 21:41:33,114\tINFO job_manager.py:581 -- Runtime env is setting up.
Running entrypoint for job segment-1: exec python -m services.submission.driver segment
segment: 1/2 tiles

result| segmented mosaics=1
"""


def test_the_verbs_lines_are_told_from_rays_however_the_log_is_cut():
    expected = ["segment: 1/2 tiles", "", "result| segmented mosaics=1"]

    assert list(lines_of([LOG])) == expected
    assert list(lines_of(LOG)) == expected


def test_a_last_line_that_has_no_end_counts():
    assert list(lines_of([LOG + "killed"]))[-1] == "killed"


def test_a_job_whose_verb_never_began_has_no_lines_of_it():
    assert list(lines_of(["Runtime env is setting up.\nno such node\n"])) == []


def test_result_and_progress_are_told_apart(capsys):
    lines = list(echo(lines_of([LOG])))

    assert capsys.readouterr().err == "segment: 1/2 tiles\n\n"
    assert result_lines(lines) == ["segmented mosaics=1"]
    assert other_lines(lines) == ["segment: 1/2 tiles", ""]


def test_a_result_is_an_object_where_the_verb_gave_one():
    assert read_result(['{"done": "segmented", "mosaics": 1}']) == {
        "done": "segmented",
        "mosaics": 1,
    }
    assert read_result(["segmented mosaics=1"]) == ["segmented mosaics=1"]
