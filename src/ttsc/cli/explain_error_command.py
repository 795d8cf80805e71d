"""`ttsc explain-error`: what a code means, with an example that is wrong and one that is right."""

from __future__ import annotations

import json

import click

from ttsc.cli.exit_codes import DONE


@click.command("explain-error", short_help="Say what the code of a message means.")
@click.argument("code", required=False, metavar="[CODE]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per code on standard output.")
def explain_error(code: str | None, as_json: bool) -> int:
    """Explain CODE, such as E0203; without one, list all codes with their titles."""
    from ttsc.explanations import explanations, page

    known = explanations()
    chosen = list(known.values())
    if code is not None:
        found = known.get(code.upper().removeprefix("ERROR[").removeprefix("WARNING[").removesuffix("]"))
        if found is None:
            from ttsc.errors import did_you_mean

            hint = did_you_mean(code.upper(), known, "`ttsc explain-error` lists them all")
            raise click.UsageError(f"there is no code '{code}': {hint}")
        chosen = [found]
    for each in chosen:
        if as_json:
            fields = {name: getattr(each, name) for name in ("code", "title", "text", "wrong", "right")}
            click.echo(json.dumps(fields, ensure_ascii=False))
        elif code is None:
            click.echo(f"{each.code}  {each.title}")
        else:
            click.echo(page(each), nl=False)
    return DONE
