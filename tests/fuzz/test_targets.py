"""Whatever comes, what reads it gives an answer, or one of the errors that are one."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target
from tests.fuzz.targets import every


@pytest.mark.parametrize("target", [one for _, one in every()], ids=lambda target: target.name.replace(" ", "-"))
def test_whatever_comes_there_is_an_answer(target: Target, request: pytest.FixtureRequest) -> None:
    if target.housed:
        request.getfixturevalue("there")
    seeds = target.seeds()
    for seed in seeds[: target.examples]:
        target(seed)

    @settings(max_examples=target.examples, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(seeds), st.integers(0, 2**32))
    def feed(seed: bytes, number: int) -> None:
        target(mutated(seed, seeds, Random(number), target.chosen))

    feed()
