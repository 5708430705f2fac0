"""The formats of a report; alone in a file, so that a command's help need not load what writes them."""

from enum import StrEnum


class Format(StrEnum):
    """How a report may be written."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"
    TEXT = "text"
    PDF = "pdf"
