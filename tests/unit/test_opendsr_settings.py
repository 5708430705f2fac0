"""What may stand in section [opendsr]."""

from pathlib import Path

import pytest

from dpsync import settings as configuration
from dpsync.errors import ConfigurationError
from dpsync.settings.opendsr import OpenDsrControllerSection, OpenDsrSection, source_of
from tests.unit.test_settings import EXAMPLE, _environment, _example

HASH = "sha256:" + "0" * 64


def loaded(folder: Path, *changes: tuple[str, str], everything: bool = False) -> configuration.Settings:
    text = _example(everything=False)
    if everything:
        text = text.replace('#callbacks = ["', 'callbacks = ["').replace("#private_host", "private_host")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = folder / "dpsync.toml"
    file.write_text(text, encoding="utf-8")
    return configuration.load(file, _environment(text))


def test_the_example_names_every_setting_of_a_controller(tmp_path: Path) -> None:
    section = loaded(tmp_path, everything=True).opendsr
    assert section is not None
    (shop,) = section.controllers.values()
    assert shop == OpenDsrControllerSection(
        token_hashes=(HASH,), callbacks=("https://hub.example.org",), private_host="hub.example.org"
    )
    assert (section.certificate, section.key) == (tmp_path / "secrets/opendsr.pem", tmp_path / "secrets/opendsr.key")
    assert all(field.description for field in OpenDsrControllerSection.model_fields.values())
    assert all(field.description for field in OpenDsrSection.model_fields.values())
    assert source_of("shop") == "opendsr:shop"


def test_without_its_section_there_is_no_such_door(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    begin, end = text.index("[opendsr]"), text.index("[safety]")
    assert loaded(tmp_path, (text[begin:end], "")).opendsr is None


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ('main_database = "own-database"', 'main_database = "newsletter"', "opendsr.main_database"),
        ('main_database = "own-database"', 'main_database = "nobody"', "opendsr.main_database"),
        ("[processors.own-database]", "[processors.own]", "opendsr.main_database"),
        ('domain = "privacy.example.org"', 'domain = "https://privacy.example.org"', "opendsr.domain"),
        ('domain = "privacy.example.org"', 'domain = "Privacy.example.org"', "opendsr.domain"),
        (HASH, "a-token", "opendsr.controllers.shop.token_hashes[0]"),
        (f'["{HASH}"]', "[]", "opendsr.controllers.shop"),
        ('"https://hub.example.org"]', '"https://hub.example.org/path"]', "opendsr.controllers.shop.callbacks[0]"),
        ('"https://hub.example.org"]', '"http://hub.example.org"]', "opendsr.controllers.shop.callbacks[0]"),
        ('private_host = "hub.example.org"', 'private_host = "other.example.org"', "opendsr.controllers.shop"),
        ("[opendsr.controllers.shop]", "[opendsr.controllers.Shop]", "opendsr.controllers.Shop"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, before: str, after: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, (before, after), everything=True)
    assert [fault.key for fault in caught.value.faults] == [key]
