"""Ids and references on a page that no line end breaks: a browser breaks behind any hyphen that no digit follows."""

import re

_PIECES = re.compile(
    # Of a request's id, what people read out; its other 20 signs may break, because a telephone has no room for all.
    r"<(style|title|textarea|option|svg)\b.*?</\1>|<[^>]*>|(?<![\w-])(r-[0-9A-Z]{6}|[CI]-[0-9A-Z]{8}|DPS-[0-9A-Z]{10})",
    re.DOTALL,
)


def with_whole_ids(page: str) -> str:
    """The page with each id in its text in a `<span class="id">`, which the style of every page keeps on one line.

    Whoever copies it gets the id as it is: it holds no sign that is not of it. `page`: HTML with escaped values.
    """
    return _PIECES.sub(lambda found: f'<span class="id">{found[2]}</span>' if found[2] else found[0], page)
