"""The first Ctrl-C, SIGTERM or SIGHUP asks to end, the next one ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tuner.execution.signals import ended_by_signals

BOTH = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _hears_hangups() -> Iterator[None]:
    """Let this process hear SIGHUP, also if the tests run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_the_first_signal_asks_and_the_second_ends(first: signal.Signals, second: signal.Signals) -> None:
    asked = []
    with ended_by_signals(lambda: asked.append(1)):
        signal.raise_signal(first)
        assert asked == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    assert asked == [1]


@pytest.mark.parametrize("number", BOTH)
def test_without_a_question_the_first_signal_ends(number: signal.Signals) -> None:
    with ended_by_signals(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with ended_by_signals():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
