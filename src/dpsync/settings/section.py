"""What every section of the settings file is."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section: what is not named here is refused, and nothing in it changes after it was read."""

    # Defaults are written as in the file and read like it: a relative path means the same in both.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


def as_written(text: str | dict[str, object]) -> Any:
    """A default in the file's own spelling, not yet read."""
    return text
