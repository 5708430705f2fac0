"""The one installation of a worker's fuzz tests."""

from collections.abc import Iterator

import pytest

from tests.fuzz.house import House, standing


@pytest.fixture(scope="session")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """It stands for as long as the worker."""
    with standing(tmp_path_factory.mktemp("house")) as house:
        yield house
