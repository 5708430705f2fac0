"""TOML as the standard library reads it, with one error for all that is none."""

import tomllib
from typing import Any


def loads(text: str) -> dict[str, Any]:
    """What the text says. Raises `tomllib.TOMLDecodeError`, also for what is too deep or too long for it."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (RecursionError, ValueError):
        raise tomllib.TOMLDecodeError("nested too deeply, or a number of too many digits") from None
