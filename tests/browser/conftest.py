"""The browser of each module."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.looking import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made
