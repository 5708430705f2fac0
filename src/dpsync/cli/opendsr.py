"""`dpsync opendsr`: what a controller needs that hands over erasures by OpenDSR."""

from typing import Final

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

group = typer.Typer(no_args_is_help=True, help="Controllers that hand over erasures by OpenDSR.")

MARK: Final = "dsr_"
"""What each token begins with, so that whoever comes upon one knows what it is."""


@group.command("token")
def token(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """Make a token for a controller, and the hash of it for the settings. It is kept nowhere.

    The hash goes into `token_hashes` of the controller's section, [opendsr.controllers.NAME]. The token goes to the
    controller, by a way that you trust: whoever has it can ask for erasures. To change one, put two hashes there until
    the controller uses the new token.
    """
    import secrets

    from dpsync.intake.opendsr.service import token_hash

    talk: Talk = ctx.obj
    made = f"{MARK}{secrets.token_urlsafe(32)}"
    if as_json:
        talk.json({"token": made, "token_hash": token_hash(made)})
        return Exit.DONE
    talk.table(("WHAT", "VALUE"), [("token, for the controller", made), ("hash, for token_hashes", token_hash(made))])
    talk.say("dpsync keeps the token nowhere: if it is lost, make another one.")
    return Exit.DONE
