"""`ttsc lsp`: the language server, for editors to start."""

from __future__ import annotations

import os
import sys

import click


@click.command(short_help="Serve an editor (language server protocol).")
@click.option("--stdio", is_flag=True, help="Talk over standard input and output; there is no other way.")
@click.option("--verbose", is_flag=True, help="Log every message on standard error.")
def lsp(stdio: bool, verbose: bool) -> int:
    """Serve an editor over standard input and output: messages, completion, hover, definitions, renaming, formatting.

    Editors start this by themselves; see docs/editors.md. Exit codes: 0 the editor has shut it down, 1 it left without.
    """
    import logging

    from ttsc.errors import Problem, UsageError

    try:
        from ttsc.lsp.server import create
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"pygls", "lsprotocol"}:
            raise
        hint = "install it: pip install 'ttsc[lsp]'"
        raise UsageError(Problem("E0519", "the language server needs the package 'pygls'", hint)) from None
    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR, stream=sys.stderr)
    if not verbose:
        logging.getLogger("pygls").setLevel(logging.CRITICAL)  # refusals too; the server logs its faults itself
    # Standard output is the protocol's alone: what anything else prints goes to standard error.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return create().serve(sys.stdin.buffer, protocol)
