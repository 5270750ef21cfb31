from finops.stack.logs import KEPT, LONGEST_LINE, Journal, Log, last_lines


def test_log_starts_anew_when_full_and_keeps_two_older_ones(tmp_path):
    log = Log(tmp_path / "web.log", most_bytes=10)
    for word in (b"1234567\n", b"2234567\n", b"3234567\n", b"4234567\n"):
        log.write(word)
    log.close()
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == {
        "web.log": "4234567\n",
        "web.log.1": "3234567\n",
        "web.log.2": "2234567\n",
    }
    assert len(found) == KEPT + 1


def test_lines_are_whole_whatever_pieces_they_came_in(tmp_path):
    journal = Journal(tmp_path)
    for piece in (b"one\ntw", b"o\nthr", b"ee"):
        journal.take("web", piece)
    journal.take("worker", b"other\n")
    journal.flush("web")
    journal.close()
    assert (tmp_path / "web.log").read_text() == "one\ntwo\nthree\n"
    together = (tmp_path / "breakeven.log").read_text().splitlines()
    # Behind the time of day:
    assert [line[20:] for line in together] == [
        "web          | one",
        "web          | two",
        "worker       | other",
        "web          | three",
    ]


def test_line_without_end_is_cut(tmp_path):
    journal = Journal(tmp_path)
    journal.take("web", b"x" * (LONGEST_LINE + 1))
    journal.close()
    assert (tmp_path / "web.log").read_bytes() == b"x" * (LONGEST_LINE + 1) + b"\n"


def test_full_disk_costs_lines_and_says_so_afterwards(tmp_path):
    log = Log(tmp_path / "web.log")
    log._stream.close()
    log._stream = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115
    log.write(b"lost\n")
    log.write(b"lost\n")
    log._stream.close()
    log._stream = log._open()
    log.write(b"kept\n")
    log.close()
    assert (tmp_path / "web.log").read_text() == (
        "(2 lines before this one could not be written)\nkept\n"
    )


def test_last_lines_are_those_of_the_process_that_runs_now(tmp_path):
    journal = Journal(tmp_path)
    journal.begin("web")
    journal.take("web", b"earlier\n")
    journal.begin("web")
    journal.take("web", b"now\n\nand then\n")
    journal.close()
    assert journal.last_lines("web") == ("now", "and then")


def test_last_lines_leave_out_empty_ones(tmp_path):
    (tmp_path / "web.log").write_text("one\n\ntwo\n\n")
    assert last_lines(tmp_path / "web.log", 5) == ("one", "two")
    assert last_lines(tmp_path / "nothing.log", 5) == ()
