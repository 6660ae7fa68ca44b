"""The time limit of regular expressions that users write."""

import contextlib
import signal
import time

import pytest
from pmssm.supervisor.logs.time_limit import LIMIT_S, regex_time_limit


def compute(seconds_of_cpu: float) -> None:
    end = time.process_time() + seconds_of_cpu
    while time.process_time() < end:
        pass


def test_a_block_is_interrupted_again_if_the_first_time_is_lost() -> None:
    with pytest.raises(TimeoutError), regex_time_limit():
        with contextlib.suppress(TimeoutError):  # as Python does in a finalizer
            compute(20 * LIMIT_S)
        compute(20 * LIMIT_S)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_the_handler_of_before_is_back_after_a_block() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with regex_time_limit():
        assert signal.getsignal(signal.SIGVTALRM) != before
    assert signal.getsignal(signal.SIGVTALRM) == before
