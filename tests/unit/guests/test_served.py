"""The counters that vgpud prints when a client leaves."""

from tests.guests.served import parse_counters


def test_words_and_json_are_both_read() -> None:
    assert parse_counters("served /s reads=12 writes=3") == {"reads": 12, "writes": 3}
    assert parse_counters('served {"reads": 12, "seconds": 1.5}') == {"reads": 12}
    assert parse_counters("served {broken") == {}
