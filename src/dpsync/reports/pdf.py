"""A page as PDF: the same page, laid out by WeasyPrint, and tagged for people who listen to it (PDF/UA)."""

from dpsync.extras import loaded

ROWS = 300
"""Requests or processors in one PDF: a thousand rows take ten seconds and 200 MB. The CSV has them all.

What is late or waits for a person is always there, however many it is.
"""

_VARIANT = "pdf/ua-1"


def pdf(page: str) -> bytes:
    """The page as one PDF. Raises `ExtraMissing` where WeasyPrint, or what it needs of the system, is not there."""
    weasyprint = loaded("pdf", "a report as PDF")
    nothing = weasyprint.urls.URLFetcher(allowed_protocols=())
    made: bytes = weasyprint.HTML(string=page, url_fetcher=nothing).write_pdf(pdf_variant=_VARIANT)
    return made
