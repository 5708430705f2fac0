"""[controller]: who is responsible, and under which law: whose periods and holidays, which authority and language."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool

from dpsync.model import Regime
from dpsync.settings.section import Section
from dpsync.settings.values import Address, Folder, Passphrase, Text, TimeZone, located, wrong
from dpsync.working_days import NATIONS, PUBLIC, faults_of

AUTHORITIES: Mapping[str, str] = {
    "GB": "Information Commissioner's Office",
    "AT": "Datenschutzbehörde",
    "BE": "Gegevensbeschermingsautoriteit / Autorité de protection des données",
    "BG": "Commission for Personal Data Protection (KZLD)",
    "CY": "Commissioner for Personal Data Protection",
    "CZ": "Úřad pro ochranu osobních údajů",
    "DK": "Datatilsynet",
    "EE": "Andmekaitse Inspektsioon",
    "ES": "Agencia Española de Protección de Datos",
    "FI": "Tietosuojavaltuutetun toimisto",
    "FR": "Commission nationale de l'informatique et des libertés (CNIL)",
    "GR": "Hellenic Data Protection Authority",
    "HR": "Agencija za zaštitu osobnih podataka",
    "HU": "Nemzeti Adatvédelmi és Információszabadság Hatóság",
    "IE": "Data Protection Commission",
    "IS": "Persónuvernd",
    "IT": "Garante per la protezione dei dati personali",
    "LI": "Datenschutzstelle",
    "LT": "Valstybinė duomenų apsaugos inspekcija",
    "LU": "Commission nationale pour la protection des données",
    "LV": "Datu valsts inspekcija",
    "MT": "Information and Data Protection Commissioner",
    "NL": "Autoriteit Persoonsgegevens",
    "NO": "Datatilsynet",
    "PL": "Urząd Ochrony Danych Osobowych",
    "PT": "Comissão Nacional de Proteção de Dados",
    "RO": "ANSPDCP",
    "SE": "Integritetsskyddsmyndigheten",
    "SI": "Informacijski pooblaščenec",
    "SK": "Úrad na ochranu osobných údajov",
}
"""To whom people may complain, as far as one country has one authority. Germany has one for each Land."""

SHIPPED = "en"
"""The language of the letters that come with dpsync."""

LETTERS = ("action", "erasure", "extension", "lifting", "recipients", "refusal", "routes")
"""The texts of one language, each a file that ends in .txt."""

_LANGUAGE = r"^[a-z]{2}$"
_ONLY_EU = ("country", "subdivision", "categories")


def _nation(raw: object) -> object:
    if raw not in NATIONS:
        hint = "GB alone lacks Easter Monday" if raw == "GB" else "each nation has its own bank holidays"
        raise wrong(f"must be one of {', '.join(NATIONS)}: {hint}")
    return raw


def _regime(raw: object) -> object:
    if raw not in tuple(Regime):
        raise wrong('must be "uk" or "eu": the periods of other laws are not known, and guessed ones would be wrong')
    return raw


class ControllerSection(Section):
    """Who is responsible, and under which law."""

    name: Text = Field(description="The organisation that is responsible for the data, as letters and reports name it.")
    dpo: Address = Field(repr=False, description="Who reads the reports and decides: the data protection officer.")
    deputy: Address | None = Field(
        default=None, repr=False, description="Who is told, besides the DPO, when time is short."
    )
    operator: Address = Field(repr=False, description="Who runs this machine, and does what a vendor's API cannot do.")
    dpo_passphrase: Passphrase | None = Field(
        default=None, description="What the DPO types on the page of a link, instead of a code that is emailed."
    )
    deputy_passphrase: Passphrase | None = Field(default=None, description="The same for the deputy.")
    operator_passphrase: Passphrase | None = Field(default=None, description="The same for the operator.")
    time_zone: TimeZone = Field(default="Europe/London", description="Decides which day a request was received on.")
    regime: Annotated[Regime, BeforeValidator(_regime)] = Field(
        default=Regime.UK,
        description="The law that sets the periods. uk: the United Kingdom. eu: the European Union and the EEA.",
    )
    holidays: Annotated[Literal["GB-ENG", "GB-WLS", "GB-SCT", "GB-NIR"], BeforeValidator(_nation)] = Field(
        default="GB-ENG", description=f"Regime uk: whose bank holidays move a legal date: {', '.join(NATIONS)}."
    )
    country: Text | None = Field(
        default=None, description="Regime eu: the country of your seat, whose holidays move a legal date, such as IE."
    )
    subdivision: Text | None = Field(
        default=None, description="Regime eu: the part of that country with holidays of its own, such as BE for Berlin."
    )
    categories: tuple[Text, ...] = Field(
        default=(PUBLIC,), description="Regime eu: which holidays count: public, and catholic where that is known."
    )
    authority: Text | None = Field(
        default=None,
        description="To whom a person may complain. Default: the authority of the country. Required in Germany.",
    )
    language: Annotated[str, Field(pattern=_LANGUAGE)] = Field(
        default="en", description="The language of letters to the person, as two letters."
    )
    letter_templates: Folder | None = Field(
        default=None,
        description="A folder with your own texts for letters to the person: LANGUAGE/action.txt and so on.",
    )
    watch_letters: StrictBool = Field(
        default=True,
        description="Remind the DPO of the letter that each person gets. false: your main database answers people.",
    )
    rehearsal: StrictBool = Field(
        default=False, description="Nothing is real: reports, receipts and the ledger say REHEARSAL, for ever."
    )

    @property
    def place(self) -> str:
        """Whose public holidays count: "GB-ENG", "DE-BE", "FR"."""
        if self.regime is Regime.UK:
            return self.holidays
        return "-".join(filter(None, [self.country, self.subdivision]))

    @property
    def complaints_to(self) -> str:
        """The name of the authority."""
        return self.authority or AUTHORITIES[self.place[:2]]


def faults_of_regime(controller: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What does not fit together in [controller] as it is written: the setting, and what is wrong with it."""
    if controller.get("regime", "uk") == "uk":
        for key in _ONLY_EU:
            if key in controller:
                yield key, 'belongs to regime = "eu". In the United Kingdom, holidays names the nation'
        return
    if controller["regime"] != "eu":
        return
    if "holidays" in controller:
        yield "holidays", 'belongs to regime = "uk". In the European Union, country and subdivision say whose count'
    if "time_zone" not in controller:
        yield "time_zone", 'is required with regime = "eu", such as Europe/Dublin'
    country, subdivision = controller.get("country", ""), controller.get("subdivision", "")
    categories = controller.get("categories", [PUBLIC])
    texts = isinstance(categories, list) and all(isinstance(name, str) for name in categories)
    if not (isinstance(country, str) and isinstance(subdivision, str) and texts):
        return  # each is a fault of its own
    yield from faults_of(country, subdivision, categories)
    if country == "DE" and "authority" not in controller:
        yield "authority", "is required in Germany: each Land has its own"


def faults_of_letters(controller: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Whether every letter has its text in the language that is set: none is answered in another one in silence."""
    language, own = controller.get("language", SHIPPED), controller.get("letter_templates")
    if language == SHIPPED or not isinstance(language, str) or not re.fullmatch(_LANGUAGE, language):
        return  # what has not the form is a fault of its own
    if not isinstance(own, str):
        yield "language", f'has no letters yet: dpsync has them in "{SHIPPED}". Put yours into letter_templates'
        return
    missing = [f"{name}.txt" for name in LETTERS if not (located(own, folder) / language / f"{name}.txt").is_file()]
    if missing:
        yield "letter_templates", f"lacks {', '.join(missing)} in the folder of that language"
