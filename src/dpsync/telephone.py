"""What a telephone number is, in the one form in which all its spellings are equal."""

import unicodedata


def phone_digits(phone: str) -> str:
    """The digits of a telephone number as E.164 writes them, without its "+"; a national number is a British one.

    Only for comparing and for pseudonyms. Every controller here is in a nation of the United Kingdom (`legal_clock`).
    """
    plain = unicodedata.normalize("NFKC", phone).replace("(0)", "")
    digits = "".join(str(unicodedata.digit(mark)) for mark in plain if mark.isdigit())
    if plain.lstrip().startswith("+"):
        return digits
    if digits.startswith("00"):
        return digits[2:]
    return f"44{digits[1:]}" if digits.startswith("0") else digits
