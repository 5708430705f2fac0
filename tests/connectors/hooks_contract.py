"""What every connector keeps that registers webhooks at its vendor; each test class of one inherits it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, cast

import pytest
import requests

from dpsync.connector import ObservesOptOuts, RegistersHooks
from dpsync.errors import CredentialsRejected
from dpsync.vendor.errors import Ended
from tests.connectors.contract import Answers, HttpContract, HttpStage, Said, Trouble

SECRET_URL = "https://dpsync.example.org/in/newsletter/a-secret-that-nobody-may-read"
OTHER_URL = "https://sync.example.org/hook?key=theirs"


class HookedVendor(Answers, Protocol):
    """A vendor that can be asked which webhooks it has: (place, URL, whether it tells of opt-outs)."""

    def hooks(self) -> list[tuple[str, str, bool]]: ...

    def add_hook(self, place: str, url: str, *, tells: bool) -> None: ...


def ended(stage: AbstractContextManager[HttpStage], act: Callable[[Any], object]) -> str:
    """Why what was done with the connector on stage ended."""
    with stage as there, pytest.raises(Ended) as caught:
        act(there.connector)
    return caught.value.outcome.reason


class HooksContract:
    """The promises of `RegistersHooks`."""

    http: ClassVar[type[HttpContract]]
    hook_places: ClassVar[tuple[str, ...]]

    def hooked_vendor(self) -> HookedVendor:
        raise AssertionError("a contract test gives the vendor")

    def before(
        self, vendor: Answers, *, trouble: Trouble | None = None, from_call: int = 1
    ) -> AbstractContextManager[HttpStage]:
        return self.http().before(vendor, trouble=trouble, from_call=from_call)

    def looking_after(self, stage: HttpStage) -> RegistersHooks:
        return cast("RegistersHooks", stage.connector)

    def test_a_webhook_is_registered_where_it_is_asked_for_and_shown_then(self) -> None:
        vendor = self.hooked_vendor()
        vendor.add_hook(self.hook_places[0], OTHER_URL, tells=True)
        with self.before(vendor) as stage:
            one = self.looking_after(stage)
            assert [place.place for place in one.hooked()] == list(self.hook_places)
            one.register_hook(self.hook_places[0], SECRET_URL, None)
            shown = {place.place: place.hooks for place in one.hooked()}
        first, *others = self.hook_places
        assert [(hook.url, hook.deaf) for hook in shown[first]] == [(OTHER_URL, ""), (SECRET_URL, "")]
        assert all(shown[place] == () for place in others)
        assert vendor.hooks() == [(first, OTHER_URL, True), (first, SECRET_URL, True)]

    @pytest.mark.parametrize("url", [SECRET_URL, f"{SECRET_URL}-older"])
    def test_one_of_ours_that_is_of_no_use_is_replaced_and_no_other_is_touched(self, url: str) -> None:
        vendor = self.hooked_vendor()
        vendor.add_hook(self.hook_places[0], OTHER_URL, tells=False)
        vendor.add_hook(self.hook_places[0], url, tells=False)
        with self.before(vendor) as stage:
            one = self.looking_after(stage)
            theirs, ours = next(iter(one.hooked())).hooks
            assert theirs.deaf
            assert ours.deaf
            one.register_hook(self.hook_places[0], SECRET_URL, ours)
        assert vendor.hooks() == [(self.hook_places[0], OTHER_URL, False), (self.hook_places[0], SECRET_URL, True)]

    def test_the_sample_is_nobodys_wish(self) -> None:
        with self.before(self.hooked_vendor()) as stage:
            observing = cast("ObservesOptOuts", stage.connector)
            assert isinstance(observing, ObservesOptOuts)
            _, body = self.looking_after(stage).sample
            assert observing.receive({}, body) == ()
            assert observing.opt_out_hints(body) == ()
            assert stage.sent == []

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503])
    @pytest.mark.parametrize("own", [True, False])
    def test_what_is_not_a_yes_is_told_as_such_whatever_call_it_answers(self, status: int, own: bool) -> None:
        page = Said(status, {"Content-Type": "text/html"}, b"<html>no</html>")
        self.ends(self.http().refusal(status) if own else page)

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]x", b'"ok"', b"null", b"<html></html>"])
    def test_a_yes_that_cannot_be_read_is_none(self, body: bytes) -> None:
        self.ends(Said(200, {"Content-Type": "application/json"}, body))

    @pytest.mark.parametrize("failure", [requests.ReadTimeout(SECRET_URL), requests.ConnectionError(SECRET_URL)])
    def test_no_answer_is_none(self, failure: Exception) -> None:
        self.ends(failure)

    def ends(self, trouble: Trouble) -> None:
        """Plant it at each call: it ends what was asked, and names neither secret nor address."""
        for act in (self._looks, self._registers, self._replaces):
            calls = self._calls(act)
            assert calls >= 1
            for number in range(1, calls + 1):
                vendor = self.hooked_vendor()
                vendor.add_hook(self.hook_places[0], OTHER_URL, tells=False)
                with (
                    self.before(vendor, trouble=trouble, from_call=number) as stage,
                    pytest.raises((Ended, CredentialsRejected)) as caught,
                ):
                    act(self.looking_after(stage))
                assert "example.org" not in str(caught.value)

    def _calls(self, act: Any) -> int:
        vendor = self.hooked_vendor()
        vendor.add_hook(self.hook_places[0], OTHER_URL, tells=False)
        with self.before(vendor) as stage:
            act(self.looking_after(stage))
            return len(stage.sent)

    def _looks(self, one: RegistersHooks) -> None:
        list(one.hooked())

    def _registers(self, one: RegistersHooks) -> None:
        one.register_hook(self.hook_places[0], SECRET_URL, None)

    def _replaces(self, one: RegistersHooks) -> None:
        one.register_hook(self.hook_places[0], SECRET_URL, next(iter(one.hooked())).hooks[0])
