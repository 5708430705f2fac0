"""What is wrong with a page in a browser: at three widths, light and dark, for a screen reader, and printed."""

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader
from tinyhtml5.parser import HTMLParser

HERE = Path(__file__).parent
WIDTHS = (320, 360, 1280)
HEIGHT = 900
IN_THE_DARK = ("color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size")
"""The rules of axe-core that hang on colour and width; all others say the same as in the light."""

BROKEN_WORDS = """() => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    // Digests and commands may break anywhere; a word, or an id as people read it out, may not. Nothing is laid out in
    // what is folded.
    const around = node.parentElement;
    if (around.closest('title, desc, style')) continue;
    const anywhere = around.closest('code, pre, .entries td:last-child, .moments td:last-child');
    const id = '(?<![\\\\w-])(?:r-[0-9A-Z]{6}|[CI]-[0-9A-Z]{8}|DPS-[0-9A-Z]{10}|--[a-z-]+)';
    for (const word of node.data.matchAll(new RegExp(anywhere ? id : id + '|[\\\\p{L}\\\\p{N}]+', 'gu'))) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(one => Math.round(one.top))).size > 1) found.push(word[0]);
    }
  }
  return found.slice(0, 5);
}"""

TOO_WIDE = """() => {
  const edge = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > edge) found.push('the page is ' + document.documentElement.scrollWidth);
  for (const one of document.querySelectorAll('table, svg, pre, dl, input, textarea, button')) {
    const box = one.getBoundingClientRect(), around = one.closest('.wide');
    const room = around ? Math.min(edge, around.getBoundingClientRect().right) : edge;
    if (box.width && box.right > room + 0.5) found.push(one.tagName + '.' + one.getAttribute('class'));
  }
  return found.slice(0, 5);
}"""

UNFOLD = "() => document.querySelectorAll('details').forEach(one => { one.open = true; })"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine; the test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip(reason="Chromium is not installed here (the package chromium)")
    with sync_playwright() as playwright:
        # As root it runs without its sandbox only, and our own pages are all that it opens.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, problems: list[str], width: int = WIDTHS[-1]) -> Iterator[Page]:
    """The page there. What it asks for besides itself, and what the browser complains of, goes to `problems`."""
    page = browser.new_page(viewport={"width": width, "height": HEIGHT})
    page.on("request", lambda one: None if one.is_navigation_request() else problems.append(f"asks for {one.url}"))
    page.on("pageerror", lambda one: problems.append(f"fails: {one}"))
    page.on("console", lambda one: problems.append(f"{one.type}: {one.text}"))
    try:
        page.goto(url)
        yield page
    finally:
        page.close()


def wrong_with(browser: Browser, url: str, *, axe: bool = True) -> list[str]:
    """Everything that is wrong with the page there. It is loaded once: a page of its own for each look took five times
    as long. `axe`: for a screen reader too.
    """
    problems: list[str] = []
    with opened(browser, url, problems) as page:
        for dark, width in ((False, WIDTHS[-1]), (True, WIDTHS[0])):
            page.set_viewport_size({"width": width, "height": HEIGHT})
            page.emulate_media(color_scheme="dark" if dark else "light")
            rules = IN_THE_DARK if dark else ()
            found = against_axe(page, *rules) if axe else []
            problems += [f"axe{' in the dark' if dark else ''}: {one}" for one in found]
            shade = page.evaluate("() => getComputedStyle(document.querySelector('main')).backgroundColor")
            bright = sum(map(int, shade.removeprefix("rgb(").removesuffix(")").split(","))) > 3 * 128
            problems += [f"{shade} with dark={dark}"] if bright is dark else []
        page.evaluate(UNFOLD)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": HEIGHT})
            problems += [f"{width}: broken: {word}" for word in page.evaluate(BROKEN_WORDS)]
            problems += [f"{width}: too wide: {one}" for one in page.evaluate(TOO_WIDE)]
    return problems


def against_axe(page: Page, *rules: str) -> list[str]:
    """Each rule of axe-core that the page breaks, and where first; only these `rules` where some are named."""
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **only}).response["violations"]
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found]


def not_html(page: str) -> list[str]:
    """The errors of the page as HTML: how it is written, and where html-validate is installed, what stands in what."""
    parser = HTMLParser()
    parser.parse(page)
    errors: list[Any] = parser.errors
    return [*(f"{place}: {code} {more}" for place, code, more in errors), *_not_content(page)]


def _not_content(page: str) -> list[str]:
    """What html-validate finds.

    Its rules that are off: an explicit role of a table stays where a narrow page shows each row as a card, because a
    browser forgets then that it is a table; a title may be as long as the controller's name makes it; and doctype is
    written in small letters.
    """
    if not (HERE / "node_modules").exists():
        return []
    running = _html_validate()
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(json.dumps(page) + "\n")
    running.stdin.flush()
    found = [one for file in json.loads(running.stdout.readline()) for one in file["messages"]]
    return [f"{one['line']}: {one['ruleId']} {one['message']}" for one in found]


@cache
def _html_validate() -> "subprocess.Popen[str]":
    """It ends with this process, because its input does."""
    node = shutil.which("node")
    assert node, "npm is here, and node is not"
    return subprocess.Popen(
        [node, HERE / "validating.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
    )


def printed(browser: Browser, url: str) -> PdfReader:
    """The page as the browser prints it."""
    with opened(browser, url, []) as page:
        return PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
