"""The pages behind our links, as WCAG 2.2 AA wants them: contrast in light and dark, labels, and nothing fetched."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from dpsync.intake.decision_links import Given, Link, Standing
from dpsync.intake.decision_pages import CHANNELS, LETTERS, WORDS
from dpsync.intake.matter import Matter, MatterPlace
from dpsync.intake.page_values import LetterDue, OpenRequest, StatusPage
from dpsync.intake.pages import TEMPLATES
from dpsync.intake.person_letter_pages import GROUNDS, LetterForm
from dpsync.intake.remedies import Remedy
from dpsync.intake.whole import ToldBefore, Whole
from dpsync.person_letters.compose import Ground, PersonLetter
from dpsync.person_letters.service import LetterChoices
from dpsync.propagation.telling import LetterKind

STYLE = (TEMPLATES / "page.css").read_text(encoding="utf-8")
TEXT, EDGE = 4.5, 3.0
"""WCAG 1.4.3 for text, 1.4.11 for the edge of a field and the mark of the focus."""


def rules(css: str) -> dict[str, dict[str, str]]:
    """What each selector declares, later rules over earlier ones."""
    found: dict[str, dict[str, str]] = {}
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        declared = dict(one.split(":", 1) for one in body.split(";") if ":" in one)
        for selector in selectors.split(","):
            found.setdefault(selector.strip(), {}).update(declared)
    return found


DARK = STYLE[STYLE.index("@media (prefers-color-scheme:dark){") :].split("{", 1)[1].rstrip().removesuffix("}")
LIGHT = rules(re.sub(r"@media[^{]*\{([^{}]*\{[^{}]*\})*\s*\}", "", STYLE))


def colour(selector: str, what: str, *, dark: bool) -> str:
    said = {**LIGHT.get(selector, {}), **(rules(DARK).get(selector, {}) if dark else {})}
    named = {
        **said,
        "background": said.get("background", ""),
        "edge": " ".join([said.get("border", ""), said.get("border-color", "")]),
    }
    return str((re.findall(r"#[0-9a-f]{3,6}", named.get(what, "")) or [""])[-1])


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * one for one in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_edges_and_focus_can_be_seen(dark: bool) -> None:
    page, text = colour("main", "background", dark=dark), colour("body", "color", dark=dark)
    pairs = {
        "text": (text, page, TEXT),
        "link": (colour("a", "color", dark=dark), page, TEXT),
        "label of a value": (colour("dt", "color", dark=dark), page, TEXT),
        "edge of a field": (colour("textarea", "edge", dark=dark), page, EDGE),
        "focus": (
            LIGHT[":focus-visible"]["outline"].split()[-1]
            if not dark
            else rules(DARK)[":focus-visible"]["outline-color"],
            page,
            EDGE,
        ),
    }
    for selector in ("button", "button.second", ".problem", ".note", ".rehearsal"):
        own = colour(selector, "color", dark=dark) or text
        pairs[selector] = (own, colour(selector, "background", dark=dark), TEXT)
    assert {
        name: round(contrast(one, other), 2)
        for name, (one, other, least) in pairs.items()
        if contrast(one, other) < least
    } == {}


class Fields(HTMLParser):
    """What of a page is not as it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.inside, self.named, self.open, self.headings = 0, set[str](), list[str](), list[int]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "label":
            self.inside += 1
            self.named.add(str(said.get("for", "")))
        if (
            tag in {"input", "textarea"}
            and said.get("type") != "hidden"
            and not (self.inside or said.get("id") in self.named)
        ):
            self.problems.append(f"{tag} {said.get('name')} has no label")
        if tag == "a" and re.fullmatch(r"[\w/-]+", str(said["href"])):
            del said["href"]  # to a page of ours, beside this one
        if tag in {"script", "link", "img", "iframe", "object"} or any(
            name in {"src", "href", "style"} or name.startswith("on") for name in said
        ):
            self.problems.append(f"{tag} fetches or runs something, or goes around the policy")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in {"meta", "input", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag == "label"
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"{tag} is not closed where it was opened")


PLACE = MatterPlace(
    name="forms",
    title="Stratosoft <forms>",
    state="Held",
    causes=("a person must approve it",),
    reason="",
    means="How",
    effect="Effect",
    limits="Limits",
    told="",
    decided=True,
    after="At once.",
    remedies=tuple(Remedy),
)
MATTER = Matter(
    request_id="r-" + "A" * 26,
    held=True,
    technical=False,
    wholes=tuple(Whole),
    withdrawn=False,
    what="Erasure",
    received="20 Nov",
    target="23 Nov",
    due="21 Dec",
    consequence="It cannot be undone.",
    approvals=2,
    places=(PLACE,),
    seen="00",
    older=("An older request of the same person goes first: <erasure>.",),
    who=(("email", "a&b@example.org"),),
)
DECIDE: dict[str, object] = {
    "form": "f",
    "problem": "No.",
    "ticket": "t",
    "words": WORDS,
    "letters": LETTERS,
    "channels": CHANNELS,
    "looks": {"forms": "found at <forms>"},
    "given": Given(None, "", ""),
}
SENDS = {"sends": "a code", "button": "Email me a code"}
TECHNICAL = replace(MATTER, held=False, technical=True, wholes=())
SENDS = {"form": "f", "problem": "No.", "sends": "a code", "button": "Email me a code"}
CHOSEN = Given(
    Whole.EXTEND, "Dana <Officer>", "many", {"forms": Remedy.DONE}, ToldBefore(date(2026, 11, 20), "by <letter>")
)
STATUS = StatusPage(
    at="20 Nov 2026, 09:00",
    head="1 held; 1 request open.",
    stopped=("forms is stopped",),
    letters=(LetterDue("r-" + "B" * 26, "r-BBBBBB", "17 Dec", late=True),),
    unwritten=2,
    requests=(
        OpenRequest(
            id=MATTER.request_id,
            short="r-AAAAAA",
            what="Erasure",
            waits_for="Stratosoft <forms>",
            due="21 Dec",
            late="OVERDUE",
            received="20 Nov",
            states="held",
            told="0 of 1",
        ),
    ),
    left=3,
)
WRITING: dict[str, object] = {
    "request_id": MATTER.request_id,
    "given": LetterForm(because="<forms>"),
    "ticket": "t",
    "form": "f",
    "problem": "No.",
}
CHOICES = LetterChoices(tuple(LetterKind), LetterKind.ERASURE, tuple(Ground))
LETTER = PersonLetter(LetterKind.ERASURE, "Your <forms>", "Your <forms>\n\nDear Ada\n\n- one <forms>\n- two\n")
LINK = Link("q", "DPO", Standing.OPEN)
PAGES: dict[str, dict[str, object]] = {
    "decision_start.html": {"link": LINK, "form": "f", "problem": "No."},
    "code.html": {"role": "DPO", "form": "f", "problem": "No.", "then": "Then.", "button": "Show the request"},
    "page_start.html": {"head": "Receipt", "request_id": "r-AAAAAA", "role": "DPO", **SENDS},
    "page_sent.html": {"request_id": "r-AAAAAA", "role": "DPO"},
    "status.html": {"page": STATUS, "here": "T", "decides": True},
    "status.html, nothing": {
        "page": replace(STATUS, requests=(), left=0, stopped=(), letters=(), unwritten=0),
        "here": "T",
    },
    "no_receipt.html": {"request_id": "r-AAAAAA"},
    "decision.html": {"link": LINK, "matter": MATTER, **DECIDE},
    "decision.html, stuck": {"link": LINK, "matter": replace(MATTER, held=False), **DECIDE},
    "decision.html, filled in": {"link": LINK, "matter": MATTER, **DECIDE, "given": CHOSEN},
    "decision.html, operator": {
        "link": LINK,
        "matter": TECHNICAL,
        **DECIDE,
    },
    "decision_recorded.html": {
        "choice": "Approve",
        "looked": {"said": "The <date>.", "done": (("Stratosoft <forms>", "Being told."),), "later": "By <day>."},
    },
    "decision_closed.html": {"locked": True},
    "letter_choose.html": {**WRITING, "choices": CHOICES, "letters": LETTERS, "grounds": GROUNDS},
    "letter.html": {
        **WRITING,
        "letter": LETTER,
        "text": Markup("<h1>Your data</h1>"),
        "channels": CHANNELS,
        "role": "DPO",
    },
    "letter_recorded.html": {"request_id": MATTER.request_id, "answered": False},
}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_whole_has_a_label_for_each_field_and_fetches_nothing(name: str) -> None:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    environment.globals |= {"controller": "Example <Trust>", "rehearsal": True, "style": STYLE}
    page = environment.get_template(name.partition(",")[0]).render(**PAGES[name])
    seen = Fields(page.replace("<!doctype html>", ""))
    assert seen.problems == []
    assert seen.open == []
    assert seen.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(seen.headings, seen.headings[1:], strict=False))
    assert '<html lang="en">' in page
    assert "<forms>" not in page
    assert "<Trust>" not in page


def test_the_style_fetches_nothing() -> None:
    assert re.findall(r"url\(|@import|https?:", STYLE) == []
