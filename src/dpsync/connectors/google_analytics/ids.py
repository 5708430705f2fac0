"""What a person is known by at Google Analytics: the ids of its cookies and apps, and what is sent in place of one."""

import re
from typing import Final

_ID = re.compile(r"[!-~]{1,256}")
# What the site's own code and its tag write (Google's page "Cookies and user identification" and gtag.js, read in
# November 2026): `_ga` is GA1.<parts of the domain>[-<parts of the path>].<client id>, `_ga_<stream>` a session.
_COOKIE = re.compile(r"(?:_ga ?[=:] ?)?GA[0-9]+\.[0-9]+(?:-[0-9]+)?\.(.*?);?")
_CLIENT = re.compile(r"[0-9]{1,10}\.[0-9]{10}|amp-[\w-]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

NO_ID: Final = "Google Analytics knows people by the ids of its own cookies and apps, and none is known"
BAD_ID: Final = "an id that was given is none of Google Analytics, or names a kind that it does not have"
UNSET: Final = "an id that was given says that there was none (such as undefined, denied or only noughts)"
TEMPLATE: Final = "an id that was given is a place that nobody filled in (such as {{user_id}})"
ENCODED: Final = "an id that was given is percent-encoded (%2E is a full stop): send it as it was before"
ADDRESS: Final = "an id that was given is an email address, which Google Analytics does not know people by"
SESSION: Final = "an id that was given is a session cookie (_ga_...): the client id stands in the cookie _ga"
OTHER_COOKIE: Final = "an id that was given is another cookie than _ga, in which the client id stands"
OWN: Final = "an id that was given is that of the site's own property or tag, not of a visitor"
SEVERAL: Final = "an id that was given is several in one: send each for itself"
SHORTENED: Final = "an id that was given lacks its last digits, as a spreadsheet leaves it: send it as text"
UNKNOWN_FORM: Final = "an id that was given is none that Google makes: before one of the site's own write CLIENT_ID:"
NO_APP: Final = "an id that was given after APP_INSTANCE_ID: is not of hexadecimal digits"


_NO_WORD: Final = (
    r"undefined|null|none|nil|nan|true|false|0|-1|unset|unknown|empty|not.?set|not.?provided|n/a|object(?: \w+)?|"
    r"denied|redacted|"
    "deleted|removed|hidden|consent|no.?consent|opt.?out|opted.?out|infinity|guest|anon|anonymous|anonymi[sz]ed|not.?logged.?in|logged.?out"
)
# Figures between braces are an id (a GUID is often written so); words alone are the name of a place to fill in.
_PLACE: Final = (
    r".*(?:\{\{|\$\{|<%|\{%|\*\||\}\}).*|[\[<({]+[a-z_. -]+[\])>}]+|"
    r"([%@#]+|__+)[a-z_]+(?:[%@#]+|__+)|%[sd]|[$:][a-z_]+|"
    r"(?:your.?|ga)?(?:user|client|visitor|member|customer).?id(?:.here)?|cid|"
    # of an example: one figure over and over, or all in their order
    r"(?:([0-9])\2{4,}|123456789?0?)\.(?:([0-9])\3{4,}|123456789?0?)"
)
_NOT_THEIRS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (UNSET, re.compile(rf"(?:amp-)?[\W_0]*|[\W_]*(?:{_NO_WORD})(?:[\W_]+(?:{_NO_WORD}))*[\W_]*", re.IGNORECASE)),
    (TEMPLATE, re.compile(_PLACE, re.IGNORECASE | re.DOTALL)),
    (BAD_ID, re.compile(r"(?:CLIENT|USER|APP_INSTANCE)_ID:.*", re.IGNORECASE | re.DOTALL)),
    (SEVERAL, re.compile(r".*[0-9]{6,10}\.[0-9]{10}.*[0-9]{6,10}\.[0-9]{10}.*", re.DOTALL)),
    (ADDRESS, re.compile(r".*(?:@|%40).*", re.DOTALL)),
    (ENCODED, re.compile(r".*%[0-9A-F]{2}.*", re.IGNORECASE | re.DOTALL)),
    (SESSION, re.compile(r"_ga_.*|GS[0-9]+\..*", re.DOTALL)),
    (OTHER_COOKIE, re.compile(r"GA[0-9]+\..*|_(?:g[a-z]+|fb[pc])[\w.-]*=.*|fb\.[0-9]\..*|FPID[0-9].*", re.DOTALL)),
)
_NO_CLIENTS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (UNSET, re.compile(rf"[0-9]+\.(?=[a-z])(?:{_NO_WORD})|(?=[a-z])(?:{_NO_WORD})\.[0-9]+", re.IGNORECASE)),
    (OTHER_COOKIE, re.compile(r"_.*|FPLC.*|[0-9]+(?:\.[0-9]+){2,}|.*[=;$,].*", re.DOTALL)),
    (UNKNOWN_FORM, re.compile(r"\.[0-9.]*|[0-9]+\.|[0-9.]*\.\.[0-9.]*|[0-9]{11,}\.[0-9]+|[0-9]+\.[0-9]{11,}")),
    (OWN, re.compile(r"(?:G|GT|GTM|AW|DC|UA)-[0-9A-Z]{4,}(?:-[0-9]+)?", re.IGNORECASE)),
    (SHORTENED, re.compile(r"[0-9]{8,10}\.[0-9]{1,9}|[0-9.]+e\+?[0-9]+", re.IGNORECASE)),
)
"""What would be accepted there like any id, and would delete nobody; the second only where a client id is meant."""


def fault_of(kind: str, value: str) -> str:
    """Why this cannot be what Google stores, "" where it can."""
    for reason, form in (*_NOT_THEIRS, *(_NO_CLIENTS if kind in ("CLIENT_ID", "") else ())):
        if form.fullmatch(value):
            return reason
    if not _ID.fullmatch(value):
        return BAD_ID
    match kind:
        case "CLIENT_ID" | "USER_ID":
            return ""
        case "APP_INSTANCE_ID":
            return "" if re.fullmatch(r"[0-9A-Fa-f]{4,64}", value) else NO_APP
        case "":
            return UNKNOWN_FORM
    return BAD_ID


def read(written: str) -> tuple[str, str]:
    """Kind and value of `CLIENT_ID:…`, `USER_ID:…`, `APP_INSTANCE_ID:…`, or of a bare client id.

    A whole `_ga` cookie is its client id. The kind of a bare one is "": only what Google makes is taken for one.
    """
    kind, colon, value = written.strip().partition(":")
    kind, value = (kind, value.strip()) if colon and kind.strip() != "_ga" else ("", written.strip())
    cookie = _COOKIE.fullmatch(value) if kind in ("", "CLIENT_ID") else None
    value = cookie[1] if cookie else value
    # what else stands in a cookie may be torn, or a site's own: whoever knows that writes CLIENT_ID: before it alone
    theirs = _CLIENT.fullmatch(value)
    return ("CLIENT_ID" if theirs else "") if kind == "" or cookie else kind, value
