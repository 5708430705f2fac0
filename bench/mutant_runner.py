"""mutmut, with all tests collected once. `bench/mutants.py` starts it instead of the program `mutmut`.

As it comes, mutmut starts pytest anew for each change: to run a few tests it collects thousands, which takes seconds,
and always in the same order. Here each change is tried in a fork of one process that has collected them, and the tests
that noticed another change of the same function go first, then the quick ones. A change of a sentence alone is not
tried: no rule hangs on it, and most would be tried with every test.
"""

import json
import os
import resource
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mutmut import __main__ as program
from mutmut.configuration import config
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd
from mutmut.utils.format_utils import mangled_name_from_mutant_name
from mutmut.workers.isolation import ForkServerRunner, MutantRunner

from bench.mutant_results import SKIPPED, Changes, function_of, settled

collect = program.collect_source_file_mutation_data
MOST_MEMORY = 6 << 30
"""Bytes that a fork may address: one whose loop never ended took eleven gigabytes before its time was over."""
NOTICED = Path("noticed.jsonl")
"""Beside the changed copy: which test noticed a change of which function, a line each."""


class _Collected:
    """A plugin of pytest that runs something else instead of the tests it has collected."""

    def __init__(self, instead: Callable[[pytest.Session], None]) -> None:
        self._instead = instead

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run it; pytest itself then has nothing to run."""
        self._instead(session)
        return True


class _Runner(PytestRunner):
    """Runs the tests of one change out of a session that has collected all of them."""

    session: pytest.Session | None = None

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """0 where every test passes, 1 at the first that does not."""
        if self.session is None:  # the clean run and the forced failure, before anything was collected
            return int(super().run_tests(mutant_name=mutant_name, tests=tests))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        function = mangled_name_from_mutant_name(mutant_name or "")
        found = {item.nodeid: item for item in self.session.items}
        chosen = [found[one] for one in _in_order(function, tests) if one in found]
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.session.testsfailed:
                line = json.dumps([function, item.nodeid]) + "\n"
                with NOTICED.open("a", encoding="utf-8") as file:
                    file.write(line)
                return 1
        return 0


def _in_order(function: str, tests: Iterable[str]) -> list[str]:
    """First what noticed a change of this function, then of its module, most often first; then the quick ones."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    if NOTICED.exists():
        for line in NOTICED.read_text(encoding="utf-8").splitlines():
            of, test = json.loads(line)
            counts[of][test] += 1
            counts[of.rpartition(".")[0]][test] += 1
    mine = set(tests)
    first = [test for test, _ in counts[function].most_common() if test in mine][:8]
    first += [test for test, _ in counts[function.rpartition(".")[0]].most_common() if test in mine][:8]
    return list(dict.fromkeys([*first, *sorted(mine, key=lambda test: state().duration_by_test.get(test, 0.0))]))


class _ForkServer(ForkServerRunner):
    """mutmut's own, within a session of pytest that has collected everything."""

    def _forkserver_main(self, work_fd: int, result_fd: int) -> None:
        serve = partial(super()._forkserver_main, work_fd, result_fd)

        def instead(session: pytest.Session) -> None:
            _Runner.session = session
            serve()

        arguments = ["--rootdir=.", "--tb=no", "-q", *config().pytest_add_cli_args_test_selection]
        arguments += [one for one in config().pytest_add_cli_args if one != "-x"]
        # mutmut leaves files open, for which the first test of every change would be blamed
        arguments += ["-p", "no:unraisableexception"]
        with change_cwd("mutants"), Path(os.devnull).open("w") as nowhere:
            sys.stdout = sys.stderr = nowhere
            pytest.main(arguments, plugins=[_Collected(instead)])


def _collected(*, mutant_names: tuple[str, ...]) -> Any:
    """What mutmut would try, without what an earlier run has settled and the changes of sentences: they are skipped."""
    mutants, files = collect(mutant_names=mutant_names)
    known, left = settled(), []
    changes = {path: Changes(Path("mutants", path)) for path in files}
    for file, name, result in mutants:
        function = function_of(name)
        is_settled = known.get(function) == file.hash_by_function_name.get(function.rpartition(".")[2], "-")
        if result is None and (is_settled or changes[str(file.path)].read(name).is_wording):
            file.exit_code_by_key[name] = SKIPPED
        else:
            left.append((file, name, result))
    for file in files.values():
        file.save()
    return left, files


def _runner(max_workers: int = 1) -> MutantRunner:
    return _ForkServer(max_workers=max_workers, test_runner_class=_Runner, test_runner_args={})


if __name__ == "__main__":
    setattr(program, "collect_source_file_mutation_data", _collected)  # noqa: B010  # because mutmut exports neither
    setattr(program, "get_mutant_runner", _runner)  # noqa: B010  # because mutmut exports neither
    program.cli()
