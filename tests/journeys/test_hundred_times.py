"""One webhook a hundred times at once, through the real receiver."""

import threading
from pathlib import Path

import pytest

from dpsync.model import Right, State
from dpsync.store import tables as t
from tests.faults.counting import Counted
from tests.journeys.installation import installed
from tests.journeys.test_canaries import post
from tests.journeys.test_mailchimp_story import ONE_AUDIENCE

ADA = "ada@example.org"


@pytest.mark.fault(25)
def test_a_webhook_that_comes_a_hundred_times_at_once_is_one_request_and_done_once(
    database_url: str, tmp_path: Path, counted: Counted
) -> None:
    with installed(tmp_path, database_url, processors=ONE_AUDIENCE, web=True) as there:
        there.sandbox.add(ADA)
        body, gate, answers = there.body(Right.ERASURE, ADA), threading.Barrier(100), []

        def send() -> None:
            gate.wait(60)
            answers.append(post(there, "evt-1", body))

        senders = [threading.Thread(target=send) for _ in range(100)]
        for one in senders:
            one.start()
        for one in senders:
            one.join(60)
        assert [one.status_code for one in answers] == [202] * 100
        (request,) = {one.json()["request"] for one in answers}
        asked = there.remember(request, Right.ERASURE, ADA)
        there.drive()
        assert there.state(asked) is State.VERIFIED
        counted(25, rows=len(there.rows(t.request)), effects=len(there.sandbox.effects_on(ADA)))
        there.sound()
