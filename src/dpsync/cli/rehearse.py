"""What shows and exercises dpsync without anybody outside: sandbox, demo."""

from pathlib import Path
from typing import Annotated

import typer

from dpsync.cli.console import Talk


def sandbox(
    http_port: Annotated[
        int, typer.Option(help="The first vendor's port on loopback; the others follow it. 0: any free ones.")
    ] = 0,
    smtp_port: Annotated[int, typer.Option(help="The mailbox's port on loopback; 0: any free one.")] = 0,
    latency_ms: Annotated[float, typer.Option(help="How long every answer takes.")] = 0.0,
    scenario: Annotated[Path | None, typer.Option(help="Who is held there, and what goes wrong: a JSON file.")] = None,
    api_key: Annotated[list[str] | None, typer.Option(help="A Mailchimp key the sandbox knows. Repeatable.")] = None,
) -> int:
    """Run the vendors' APIs and a mailbox on loopback, for rehearsals; prints their addresses as one JSON line."""
    from dpsync.errors import NotFound
    from dpsync.sandbox.server import main

    given = ["--http-port", str(http_port), "--smtp-port", str(smtp_port), "--latency-ms", str(latency_ms)]
    if scenario is not None:
        if not scenario.is_file():
            raise NotFound(f"there is no file {scenario}")
        given += ["--scenario", str(scenario)]
    for key in api_key or []:
        given += [f"--api-key={key}"]
    return main(given)


def demo(
    ctx: typer.Context,
    *,
    broken: Annotated[bool, typer.Option("--break", help="Let the vendor say yes and do nothing.")] = False,
    folder: Annotated[Path, typer.Option(help="Where report and receipt are left to look at.")] = Path("demo"),
) -> int:
    """Show the whole story in a minute. Everything stays on this machine."""
    from dpsync.demo.story import run

    talk: Talk = ctx.obj
    return run(folder, broken=broken, say=talk.data)
