"""What shows and exercises dpsync without anybody outside: sandbox, demo."""

from pathlib import Path
from typing import Annotated

import typer

from dpsync.cli.console import Talk


def sandbox(
    http_port: Annotated[
        int,
        typer.Option(
            min=0, max=65530, help="The first vendor's port on loopback. The others follow it. 0: free ports."
        ),
    ] = 0,
    smtp_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The mailbox's port on loopback. 0: a free port.")
    ] = 0,
    latency_ms: Annotated[float, typer.Option(help="How long each answer takes, in milliseconds.")] = 0.0,
    scenario: Annotated[
        Path | None, typer.Option(help="A JSON file: who the vendors hold, and what goes wrong.")
    ] = None,
    api_key: Annotated[
        list[str] | None, typer.Option(help="A Mailchimp key that the sandbox accepts. Repeatable.")
    ] = None,
) -> int:
    """Imitate the vendors' APIs and a mailbox on loopback, for rehearsals. Prints their addresses as one JSON line."""
    from dpsync.errors import UsageError
    from dpsync.extras import demand

    demand("sandbox", "dpsync sandbox")
    from dpsync.sandbox.server import main
    from dpsync.sandbox.vendor import Unwilling

    given = ["--http-port", str(http_port), "--smtp-port", str(smtp_port), "--latency-ms", str(latency_ms)]
    if scenario is not None:
        _demand_scenario(scenario)
        given += ["--scenario", str(scenario)]
    for key in api_key or []:
        given += [f"--api-key={key}"]
    try:
        return main(given)
    except Unwilling as refusal:
        raise UsageError(f"{scenario or 'the sandbox'}: {refusal}") from None
    except OSError as error:
        raise UsageError(f"the sandbox cannot listen on its ports: {error.strerror}", code="DP-104") from None


def _demand_scenario(path: Path) -> None:
    """Raise `UsageError` with every fault of a scenario, each with its line or key, never with a value."""
    from pydantic import ValidationError

    from dpsync import strict_json
    from dpsync.errors import NotFound, PayloadInvalid, UsageError
    from dpsync.sandbox.scenario import Scenario

    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    try:
        content = path.read_bytes()
        Scenario.model_validate_json(content)
        strict_json.load(content, quoting=True)  # of a key that stands twice the one would be lost unseen
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", code="DP-105") from None
    except PayloadInvalid as twice:
        raise UsageError(f"{path} is not a scenario: {twice.problem}") from None
    except ValidationError as refused:
        faults = [
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), _REFUSED.get(fault["type"], fault["msg"]))))
            for fault in refused.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise UsageError(f"{path} is not a scenario: {'; '.join(faults)}") from None


_REFUSED = {"extra_forbidden": "no such key", "missing": "is missing"}


def demo(
    ctx: typer.Context,
    *,
    broken: Annotated[
        bool, typer.Option("--break", help="Let the vendor say yes and do nothing. The demo must then fail.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="The folder for the report and the receipt.")] = Path("demo"),
) -> int:
    """Show the whole story in a minute. Everything stays on this machine."""
    from dpsync.extras import demand

    demand("sandbox", "dpsync demo")
    from dpsync.demo.story import run

    talk: Talk = ctx.obj
    return run(folder, broken=broken, say=talk.data)
