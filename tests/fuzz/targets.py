"""All that is fed. `make fuzz` feeds each for minutes, `test_targets.py` some examples of each in every run."""

from collections.abc import Iterator, Sequence
from importlib import import_module

from tests.fuzz.target import Target

MODULES = ("doors", "files", "proofs", "outside", "vendors", "pages")


def of(module: str) -> Sequence[Target]:
    """Those of one module, which alone is imported."""
    found: Sequence[Target] = import_module(f"tests.fuzz.{module}").TARGETS
    return found


def every() -> Iterator[tuple[str, Target]]:
    """Each, with its module."""
    return ((module, target) for module in MODULES for target in of(module))
