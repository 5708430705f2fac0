"""What every journey has."""

import pytest

from dpsync.running import month_report


@pytest.fixture(autouse=True)
def _no_pdf_each_month(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The month's report goes as HTML, as it does where the PDF extra is missing: a PDF took a quarter of each story
    that lasts over the end of a month. `test_month_report` is about it.
    """
    if request.path.stem != "test_month_report":
        monkeypatch.setattr(month_report, "is_installed", lambda _extra: False)
