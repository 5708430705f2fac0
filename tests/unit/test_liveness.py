"""Signs of life: what counts as one, and what follows where they stay away."""

import threading
import time
from collections.abc import Callable

import pytest

from dpsync import liveness
from dpsync.liveness import Guard, Pulse, Watched

LONG = 60.0


class Ends(BaseException):
    """Nothing that anybody catches."""


def guarded(part: Pulse, stop: threading.Event) -> tuple[Guard, threading.Event]:
    ended = threading.Event()
    guard = Guard([part], stop, ended.set, lambda: "ready", look_every=0.02, last_resort=LONG)
    return guard, ended


def hangs() -> None:
    threading.Event().wait()


def ends() -> None:
    raise Ends


def returns() -> None:
    """Nothing: it is through, although nobody told it to stop."""


@pytest.mark.parametrize(
    ("work", "found"), [(hangs, "gives no sign of life"), (ends, "has ended"), (returns, "has ended")]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_part_that_ended_or_hangs_ends_the_whole_whatever_it_was(work: Callable[[], None], found: str) -> None:
    part = Watched("timed", work, silent_for=0.2)
    guard, ended = guarded(part, threading.Event())
    part.start()
    guard.start()
    assert ended.wait(LONG)
    guard.ended()
    assert guard.failed == f"timed {found}"


def test_what_shows_signs_of_life_and_ends_when_told_is_no_trouble() -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            liveness.beat()

    part = Watched("worker", work, silent_for=LONG)
    guard, ended = guarded(part, stop)
    part.start()
    guard.start()
    assert not ended.wait(0.2)
    stop.set()
    part.join(LONG)
    assert not ended.wait(0.2)
    assert guard.failed == ""


def test_a_sign_of_life_of_a_thread_that_nobody_watches_is_nothing() -> None:
    part = Pulse("receiver", silent_for=0.01)
    time.sleep(0.05)
    liveness.beat()
    assert part.trouble == "gives no sign of life"
    part.beat()
    assert Watched("worker", lambda: None, silent_for=0.0).trouble == "", "it has not begun"
