"""What a part of all marketing, as the main database calls it, is at one processor."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator

from dpsync import opt_out_scope
from dpsync.settings.values import Text, wrong


def _scopes(raw: object) -> object:
    if not isinstance(raw, dict):
        return raw
    try:
        found = [(opt_out_scope.read(scope), meant) for scope, meant in raw.items()]
    except ValueError as error:
        raise wrong(f"names a scope that {error}") from None
    if len(dict(found)) < len(found):
        raise wrong("names one scope twice")
    return dict(found)


Scopes = Annotated[Mapping[str, tuple[Text, ...]], BeforeValidator(_scopes)]
"""By scope: what it is at a processor, parts of it by the vendor's ids, or a word. What fits, its connector says."""
