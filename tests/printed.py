"""What a PDF says, and of what it is made."""

import io
from typing import Any

from pypdf import PdfReader


def read(pdf: bytes) -> PdfReader:
    """The file, opened."""
    return PdfReader(io.BytesIO(pdf))


def catalogue(pdf: bytes) -> Any:
    """What stands at its root."""
    return read(pdf).trailer["/Root"]


def text_of(pdf: bytes) -> str:
    """Its words, one blank between two."""
    return " ".join(" ".join(page.extract_text() for page in read(pdf).pages).split())
