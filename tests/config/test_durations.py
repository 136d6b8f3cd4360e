"""Durations and windows: which form a text of another form means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.config.durations import nearest_duration, nearest_window
from tuner.config.section import read_duration


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("1.5h", "1h30m"),
        ("90 min", "90m"),
        ("1h30", "1h30m"),
        ("2 hours, 5 minutes", "2h5m"),
        ("1w", "7d"),
        ("1 W 1D", "8d"),
        ("0.5s", None),
        ("soon", None),
        ("30", None),
        ("1h 30x", None),
        ("", None),
        ("0h", "0h"),
    ],
)
def test_a_duration_in_another_form_is_understood(text, near):
    assert nearest_duration(text) == near


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("7d", "7D"),
        ("1W", "7D"),
        ("1.5D", "36H"),
        ("12 hours", "12H"),
        ("90m", None),
        ("1M", None),
        ("x", None),
    ],
)
def test_a_window_in_another_form_is_understood(text, near):
    assert nearest_window(text) == near


def test_the_cure_is_told_and_a_number_that_is_too_long_is_told_as_such():
    for text, rule in (
        ("1.5h", "must be a duration, as 45s, 30m, 2h or 1h30m, but got '1.5h'; write 1h30m"),
        ("soon", "must be a duration, as 45s, 30m, 2h or 1h30m, but got 'soon'$"),
        ("99999999999d", "must have numbers of at most 9 digits, but got '99999999999d'"),
    ):
        with pytest.raises(ValueError, match=rule):
            read_duration(text)


@given(st.text("0123456789.dhms wk", max_size=12))
def test_what_is_suggested_is_taken(text):
    near = nearest_duration(text)
    if near is not None and any(digit in near for digit in "123456789"):
        read_duration(near)
