"""What every section of the settings file is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section: what is not named here is refused, and nothing in it changes after it was read."""

    # Defaults are written as in the file and read like it: a relative path means the same in both.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)
