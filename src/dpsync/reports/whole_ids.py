"""Ids and options on a page that no line end breaks: a browser breaks behind any hyphen that no digit follows."""

import re

_PIECES = re.compile(
    # Of a request's id, what people read out; its other 20 signs may break, because a telephone has no room for all.
    r"<(style|title|textarea|option|svg)\b.*?</\1>|<[^>]*>|"
    r"(?<![\w-])(?:(r-[0-9A-Z]{6}|[CI]-[0-9A-Z]{8}|DPS-[0-9A-Z]{10})|(--[a-z]+(?:-[a-z]+)*)(?![\w-]))",
    re.DOTALL,
)


def with_whole_ids(page: str) -> str:
    """The page with each id and option in its text in a `<span>`, which the style of every page keeps on one line.

    An option only on screen: on paper nobody copies it, and a line more may be a page more. Whoever copies one gets it
    as it is: it holds no sign that is not of it. `page`: HTML with escaped values.
    """
    return _PIECES.sub(_whole, page)


def _whole(found: re.Match[str]) -> str:
    if found[2] or found[3]:
        return f'<span class="{"id" if found[2] else "opt"}">{found[0]}</span>'
    return found[0]
