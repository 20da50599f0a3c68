from services.screens import table_text


def test_words_stand_to_the_left_and_numbers_to_the_right():
    rows = [["left", "12"], ["undeterminable", "3"]]

    assert table_text(["what", "n"], rows).splitlines() == [
        "what             n",
        "left            12",
        "undeterminable   3",
    ]


def test_without_rows_the_head_stands_alone():
    assert table_text(["what", "n"], []) == "what  n"
