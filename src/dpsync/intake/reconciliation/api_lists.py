"""The list of people of a main database that is nobody's own database: by the interface of HubSpot or Salesforce.

Only reads, page by page, one call after the other. A page of another shape ends it: whoever only reached the end has
seen everybody. What a record does not tell, such as when somebody opted out, is not guessed from when it was changed.
Sources: developers.hubspot.com, CRM API v3, contacts; Salesforce REST API, QueryAll, and the client credentials flow of
its OAuth 2.0, as read in November 2026.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from dpsync.connector_services import Http, NoAnswer, Reply
from dpsync.http import json_of, retry_after
from dpsync.intake.reconciliation.listed import Listed, listed
from dpsync.intake.reconciliation.people_list import ListUnknown
from dpsync.settings.sources import ApiListSection

TRIES: Final = 4
LONGEST_WAIT: Final = 30.0
"""Seconds. Whoever wants us to wait for longer is asked again tomorrow."""

_SHAPE: Final = "it gave an answer of another shape than its documentation says"
_PROPERTIES: Final = ("email", "hs_additional_emails", "hs_email_optout", "hs_merged_object_ids")
_LIMIT: Final = 100
_API: Final = "/services/data/v60.0"
_QUERY: Final = "SELECT Id, Email, HasOptedOutOfEmail, IsDeleted, MasterRecordId, MasterRecord.Email FROM Contact"


class _Reads:
    """Calls that only read, with a token; a vendor that asks us to wait is waited for."""

    def __init__(self, section: ApiListSection, http: Http, sleep: Callable[[float], None]) -> None:
        self._url = section.url
        self._secret = section.secret.get_secret_value()
        self._http = http
        self._sleep = sleep

    def _object(self, method: str, path: str, **more: Any) -> Mapping[str, Any]:
        """The JSON object of a 200. Raises `ListUnknown`."""
        for number in range(TRIES):
            reply = self._reply(method, path, **more)
            wait = _wait(reply)
            if wait is None or number == TRIES - 1:
                break
            self._sleep(wait)
        found = json_of(reply)
        if reply.status in {400, 401, 403}:
            raise ListUnknown(f"it does not accept our credential, or lacks what the list asks for ({reply.status})")
        if reply.status != 200:
            raise ListUnknown(f"it answered {reply.status}")
        if not isinstance(found, dict):
            raise ListUnknown(_SHAPE)
        return found

    def _reply(self, method: str, path: str, **more: Any) -> Reply:
        try:
            # without its query: what stands there may be a person's
            return self._http.call(method, self._url + path, template=path.partition("?")[0], **more)
        except NoAnswer as error:
            raise ListUnknown(f"it does not answer: {error.reason}") from None


def _wait(reply: Reply) -> float | None:
    """How long to wait before it is asked again, None where that is of no use."""
    if reply.status not in {429, 502, 503, 504}:
        return None
    wish = retry_after(reply, reply.evidence.at) or timedelta(seconds=10)
    return wish.total_seconds() if wish.total_seconds() <= LONGEST_WAIT else None


class HubSpotPeople(_Reads):
    """The contacts of an account, with those in its recycle bin and those that were merged into another."""

    def __init__(self, section: ApiListSection, http: Http, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(section, http, sleep)

    def pages(self) -> Iterator[list[Listed | None]]:
        """All rows, some at a time; None for a row that does not say of whom it is. Raises `ListUnknown`."""
        for archived in ("false", "true"):
            after: str | None = ""
            while after is not None:
                page = self._page(archived, after)
                yield [row for one in page["results"] for row in _of_hubspot(one, deleted=archived == "true")]
                after = _next(page, after)

    def _page(self, archived: str, after: str) -> Mapping[str, Any]:
        asked = {"limit": str(_LIMIT), "archived": archived, "properties": ",".join(_PROPERTIES)}
        headers = {"Authorization": f"Bearer {self._secret}"}
        params = asked | ({"after": after} if after else {})
        page = self._object("GET", "/crm/v3/objects/contacts", headers=headers, params=params)
        if not isinstance(page.get("results"), list):
            raise ListUnknown(_SHAPE)
        return page


def _next(page: Mapping[str, Any], after: str) -> str | None:
    """Where the next page begins, None after the last one. Raises `ListUnknown` for one that goes in a circle."""
    match page.get("paging"):
        case None:
            return None
        case {"next": {"after": str(then)}} if then and then != after:
            return then
    raise ListUnknown(_SHAPE)


def _of_hubspot(one: object, *, deleted: bool) -> Iterator[Listed | None]:
    """The record, and those that went into it. Raises `ListUnknown`."""
    match one:
        case {"id": str(own_id), "properties": dict(told)} if not set(_PROPERTIES) - set(told):
            emails = [told["email"], told["hs_additional_emails"]]
            row = {"id": own_id, "emails": emails, "opted_out": told["hs_email_optout"], "deleted": deleted}
            yield listed(row)
            for loser in (told["hs_merged_object_ids"] or "").split(";"):
                if loser.strip() and loser.strip() != own_id:
                    yield listed({"id": loser, "emails": "", "merged_into": own_id, "winner_emails": emails})
        case _:
            raise ListUnknown(_SHAPE)


class SalesforcePeople(_Reads):
    """The contacts of an organisation, with those in its bin: what left it is gone for whoever asks."""

    def __init__(self, section: ApiListSection, http: Http, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(section, http, sleep)
        self._client = section.client_id

    def pages(self) -> Iterator[list[Listed | None]]:
        """All rows, some at a time; None for a row that does not say of whom it is. Raises `ListUnknown`."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        path: str | None = f"{_API}/queryAll?{urlencode({'q': _QUERY})}"
        seen = 0
        while path is not None:
            page = self._object("GET", path, headers=headers)
            rows, path = _of_salesforce(page)
            seen += len(rows)
            if path is None and seen != page.get("totalSize"):
                raise ListUnknown("its list broke off before its end")
            yield rows

    def _token(self) -> str:
        form = {"grant_type": "client_credentials", "client_id": self._client, "client_secret": self._secret}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        found = self._object("POST", "/services/oauth2/token", headers=headers, body=urlencode(form).encode())
        token = found.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
            raise ListUnknown(_SHAPE)
        return token


def _of_salesforce(page: Mapping[str, Any]) -> tuple[list[Listed | None], str | None]:
    """The rows of a page, and the path of the next one. Raises `ListUnknown`."""
    match page:
        case {"done": True, "records": list(records)}:
            path = None
        case {"done": False, "records": list(records), "nextRecordsUrl": str(path)} if path.startswith(f"{_API}/query"):
            pass
        case _:
            raise ListUnknown(_SHAPE)
    return [_contact(one) for one in records], path


def _contact(one: object) -> Listed | None:
    match one:
        case {
            "Id": str(own_id),
            "Email": email,
            "HasOptedOutOfEmail": bool(opted_out),
            "IsDeleted": bool(deleted),
            "MasterRecordId": winner,
            "MasterRecord": master,
        }:
            row: dict[str, object] = {"id": own_id, "emails": email, "opted_out": opted_out, "deleted": deleted}
            if winner:
                row |= {"merged_into": winner, "winner_emails": master["Email"] if isinstance(master, dict) else None}
            return listed(row)
    raise ListUnknown(_SHAPE)
