from pipelines.training.attempts import n_redone, note_begun


def test_epochs_that_were_begun_again_are_counted(tmp_path):
    for epoch in (1, 2, 3, 3, 3, 4):
        note_begun(tmp_path, epoch)

    assert n_redone(tmp_path) == 2


def test_where_nothing_was_begun_nothing_was_done_again(tmp_path):
    assert n_redone(tmp_path) == 0
