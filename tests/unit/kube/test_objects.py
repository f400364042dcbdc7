from datetime import UTC, datetime

import pytest

from rayops.kube.objects import condition, dig, first_line, gist, is_true, labels_of, parse_time


def test_dig_takes_the_default_for_what_is_missing_or_null() -> None:
    obj = {"a": {"b": None, "c": 0}}
    assert dig(obj, "a", "c") == 0
    assert dig(obj, "a", "b", default="x") == "x"
    assert dig(obj, "a", "c", "d", default="x") == "x"
    assert dig(None, "a", default="x") == "x"


def test_conditions_and_labels_of_objects_that_have_none() -> None:
    assert condition({}, "Ready") is None
    assert not is_true({"status": {"conditions": None}}, "Ready")
    assert labels_of({"metadata": {"labels": None}}) == {}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T10:00:00Z", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21T10:00:00.250000Z", datetime(2026, 11, 21, 10, 0, 0, 250000, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_of_the_api_server(text: object, time: datetime | None) -> None:
    assert parse_time(text) == time


def test_first_line_says_something_and_is_cut() -> None:
    assert first_line("\n  \n  first \n second") == "first"
    assert first_line("abcdef", 4) == "abc…"
    assert first_line(None) == ""


def test_gist_of_a_traceback_names_its_exception() -> None:
    text = "Deploying failed:\nTraceback (most recent call last):\n  File 'x', line 1\n    raise\nKeyError: 'a'\n\n"
    assert gist(text) == "Deploying failed: … KeyError: 'a'"
    assert gist("one line") == "one line"
    assert gist("one\n  indented") == "one"
