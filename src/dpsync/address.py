"""What an email address is, when two spellings are one mailbox, and under which spellings one may be held.

A domain is one domain as U-label and as A-label (IDNA 2008, RFC 5890 2.3.2.1), whatever its capitals (RFC 4343); a text
is one text in NFC and NFD. Compatibility forms (NFKC) are one in a domain alone: before the @, `ªda` and `ada` are two
mailboxes, which may be two people's. `straße.example` and `strasse.example` are two domains (RFC 5892), though
IDNA 2003 took them for one: see docs/decisions/0011-one-mailbox-many-spellings.md.
"""

import re
import unicodedata
from contextlib import suppress
from functools import lru_cache
from typing import Final

_LONGEST: Final = 254  # octets, RFC 5321 4.5.3.1.3 with RFC 3696 erratum 1690
_TOP_LABEL = re.compile(r".+\.(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})")
_ANY_DOMAIN: Final = "example.org"

_JOINING: Final = str.maketrans("", "", ".-_+")
_NEEDLESS: Final = re.compile(r'"[^\s()<>\[\]:;@\\,"]+"')
# What quotes, templates, links, tables and lists leave at the ends of a name. An apostrophe within one is part of it.
_AROUND: Final = re.compile(
    r"^['`\u02b9-\u02d1|/{}*=?&%$]|['`\u02b9-\u02d1|/{}*=?&%]$|&(?:lt|gt|quot|amp|nbsp|apos|#x?[0-9a-f]{2})"
    # `=` after a label of a link, a form or a directory (LDAP, X.400); `bounce=ada`, `prvs=1a=ada` are names
    r"|(?:^|[?&/])(?:[a-z]|cn|sn|gn|ou[0-9]?|dc|uid|id|user(?:id)?|account|login|value|contact|address(?:es)?"
    r"|[\w-]*(?:mail|name|addr(?:ess(?:es)?)?)|e-?mail[\w-]*|mailto|smtp|rfc822|to|cc|bcc|from|sender|recipient|href)="
    # the way to a page
    r"|^[\w-]+(?:\.[\w-]+)+/",
    re.IGNORECASE,
)
# `\u003cada@…`: a bracket of JSON whose backslash was lost.
_LOST: Final = re.compile(r"u003[ce][a-z]", re.IGNORECASE)
# RFC 2047's words; quoted-printable (RFC 2045: capitals, so that `bounce+ada=aol.com` stays a name); percent-encoding
# of any character set, where it is no route (`ada%de.example.org`).
_ENCODED: Final = re.compile(
    r"=\?[\w-]+\?[bBqQ]\?"
    r"|=(?:0[9AD]|2[0278-9B-F]|3[A-E]|40|5[BDF]|60|7[BD]|[A-F][0-9]|[A-F]{2}(?![A-Z])|[c-f][0-9a-f]=[89ab][0-9a-f])"
    r"|%(?:[0-9A-F]{2}|[0-9][0-9a-f]|[uU][0-9A-Fa-f]{4}|[A-Fa-f][0-9A-Fa-f](?:%|[^.]*$))"
)
# Letters and marks by their category, of which nothing is seen (Unicode, Default_Ignorable_Code_Point; RFC 8264, 9.13).
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_IN_NAMES: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd"})
_DEVIATIONS: Final = str.maketrans({"ß": "ss", "ς": "σ", "\u200c": "", "\u200d": ""})


class NotAnAddress(ValueError):
    """What no mail host could take for an address. It says a clause without the value, such as "is longer than …"."""


def mailbox(text: str) -> str:
    """The address in a text, white space at its ends trimmed, otherwise as it came. Raises `NotAnAddress`.

    email-validator (RFC 5321, 5322, 6531; idna for the domain) decides, and is more strict than what is in use: dots
    anywhere before the @, more than 64 characters there, and underscores in a host's name are taken. Text around an
    address is no address: who looks for it finds nobody, which proves nothing about the person.
    """
    address = text.strip()
    local, at, domain = address.rpartition("@")
    # Both forms are looked at: a full-width @ or a no-break space is no name, whatever it looks like.
    for form in (address, unicodedata.normalize("NFKC", address)):
        if not (at and form.isprintable() and form.count("@") == address.count("@")):
            raise NotAnAddress("is not an e-mail address")
    if max(len(address.encode()), len(normalised(address).encode())) > _LONGEST:
        raise NotAnAddress(f"is longer than {_LONGEST} characters")
    names = {local, *(unicodedata.normalize(form, local) for form in ("NFD", "NFKC"))}
    if not (all(map(_is_local_part, names)) and _is_domain(domain)):
        raise NotAnAddress("is not an e-mail address")
    return address


def normalised(address: str) -> str:
    """The one form of all spellings of a mailbox: lower case, no needless quotation marks, the domain in A-labels.

    Only for comparing and for pseudonyms; what a processor is told is the spelling that came in. The stand-alone
    verifier of receipts makes the same form from docs/proof-format.md, section 2.
    """
    if address.isascii():
        return _unquoted(address.strip().lower())
    text = _unquoted(_composed("".join(map(str.lower, _composed(address).strip()))))
    local, at, domain = text.rpartition("@")
    return f"{local}@{_a_labels(domain)}" if at and not domain.isascii() else text


def _composed(text: str) -> str:
    """NFC before the last @, NFKC behind it; NFKC of a text without one."""
    local, at, domain = text.rpartition("@")
    return f"{unicodedata.normalize('NFC', local)}{at}{unicodedata.normalize('NFKC', domain)}"


def _unquoted(address: str) -> str:
    """Without quotation marks that nothing before the @ needs: with and without is one mailbox (RFC 5321, 4.1.2)."""
    local, at, domain = address.rpartition("@")
    return f"{local[1:-1]}{at}{domain}" if _NEEDLESS.fullmatch(local) else address


def folded(text: str) -> str:
    """NFKC, white space at the ends trimmed, lower case character by character, and NFKC of that.

    For domains and for free text; it makes one of what may be two mailboxes.
    """
    if text.isascii():
        return text.strip().lower()
    # One character at a time: only so is a capital sigma at the end of a word what IDNA makes of it.
    lower = "".join(map(str.lower, unicodedata.normalize("NFKC", text).strip()))
    return unicodedata.normalize("NFKC", lower)


def spellings(address: str) -> tuple[str, ...]:
    """Every spelling under which whoever compares letter by letter may hold this mailbox; the given one first.

    Domain as U-label and A-label, all of it in NFC and in NFD, capitals as given and in lower case, quotation marks as
    given and without. For an address of ASCII letters in lower case that is one.
    """
    given, one = address.strip(), normalised(address)
    forms, domain = [given, _unquoted(given), one], one.rpartition("@")[2]
    letters = _u_labels(domain)
    if letters != domain:
        names = dict.fromkeys(form.rpartition("@")[0] for form in forms)
        forms += [f"{name}@{spelt}" for name in names for spelt in (domain, letters)]
    both = [unicodedata.normalize(form, text) for text in forms for form in ("NFC", "NFD")]
    return tuple(dict.fromkeys([given, *both]))


def older_spellings(address: str) -> tuple[str, ...]:
    """Every spelling of the mailbox that software of IDNA 2003 makes of this one; none for nearly all.

    By the standard of today it is another mailbox, which may be another person's (UTS #46, 1.3, "deviations").
    """
    local, _, domain = normalised(address).rpartition("@")
    letters = _u_labels(domain)
    older = letters.translate(_DEVIATIONS)
    return () if older == letters else spellings(f"{local}@{older}")


def in_a_labels(address: str) -> str:
    """The address as a mail's envelope carries it: its domain in A-labels, which is ASCII."""
    local, at, domain = address.rpartition("@")
    return address if domain.isascii() else f"{local}{at}{_a_labels(folded(domain))}"


def in_u_labels(address: str) -> str:
    """The address as people read it: its domain in U-labels."""
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{_u_labels(domain)}"


def _a_labels(domain: str) -> str:
    """Of a folded domain; NFKC leaves the ideographic full stop, which separates labels too (UTS #46, 4.5)."""
    labels = domain.replace("\u3002", ".").split(".")
    return ".".join(one if one.isascii() else f"xn--{one.encode('punycode').decode()}" for one in labels)


def _u_labels(domain: str) -> str:
    return ".".join(map(_u_label, domain.replace("\u3002", ".").split(".")))


def _u_label(label: str) -> str:
    """What an A-label says in letters; itself, where it is none or only looks like one."""
    if label[:4].lower() == "xn--":
        with suppress(UnicodeError):
            letters = label[4:].lower().encode("ascii").decode("punycode")
            if _a_labels(folded(letters)) == label.lower():
                return letters
    return label


def _is_local_part(local: str) -> bool:
    """Whether a mailbox could be called so. Between quotation marks the same is asked of each word."""
    if len(local) > 1 and local[0] == local[-1] == '"':
        return all(map(_is_quoted_word, local[1:-1].split(" "))) and _is_judged_good(local, quoted=True)
    return _is_plain(local)


def _is_quoted_word(word: str) -> bool:
    """A whole address between quotation marks is one with text around it; `"ada@home"` is a name."""
    name, at, rest = word.rpartition("@")
    return _is_plain(rest) and not _is_domain(rest) and _is_plain(name) if at else _is_plain(word)


def _is_plain(local: str) -> bool:
    # Of the judge's 0.1 ms, which the signed door would pay for nearly every address in vain.
    if local.isascii() and local.translate(_JOINING).isalnum() and not _LOST.match(local):
        return True
    if _AROUND.search(local) or _LOST.match(local) or _ENCODED.search(local) or not all(map(_is_name, local)):
        return False
    # A mailbox of Japan's mobile networks may have dots anywhere.
    return _is_judged_good(local.replace(".", ""))


def _is_judged_good(local: str, *, quoted: bool = False) -> bool:
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(f"{local}@{_ANY_DOMAIN}", check_deliverability=False, allow_quoted_local=quoted)
    except EmailNotValidError:
        return False
    return True


def _is_name(mark: str) -> bool:
    """Beyond ASCII, names are made of letters, marks and digits that can be seen (RFC 8264, 4.2)."""
    if mark.isascii():
        return True
    return unicodedata.category(mark) in _IN_NAMES and not _UNSEEN.match(mark)


@lru_cache(maxsize=4096)
def _is_domain(domain: str) -> bool:
    from email_validator import EmailNotValidError, validate_email

    ascii_form = _a_labels(folded(domain))
    if not _TOP_LABEL.fullmatch(ascii_form):
        return False
    # Before a name that mail can go to: `.local` is a good domain inside a house.
    judged = domain.replace("_", "x")
    try:
        found = validate_email(f"a@{judged}.{_ANY_DOMAIN}", check_deliverability=False)
    except EmailNotValidError:
        return False
    # idna leaves some characters out (a soft hyphen); then two spellings would have no form in common here.
    return found.ascii_domain == f"{_a_labels(folded(judged))}.{_ANY_DOMAIN}"
