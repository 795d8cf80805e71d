"""The group of commands. A command's module is imported when it is used, so that each starts quickly."""

from __future__ import annotations

from importlib import import_module

import click

from ttsc import __version__
from ttsc.cli.exit_codes import EPILOG

_COMMANDS = {
    "run": "ttsc.cli.run_command:run",
    "plan": "ttsc.cli.plan_command:plan",
    "build": "ttsc.cli.build_command:build",
    "replay": "ttsc.cli.replay_command:replay",
    "journal": "ttsc.cli.journal_command:journal",
    "check": "ttsc.cli.check_command:check",
    "fmt": "ttsc.cli.fmt_command:fmt",
    "test": "ttsc.cli.test_command:test",
    "dump": "ttsc.cli.dump_command:dump",
    "calibrate": "ttsc.cli.calibrate_command:calibrate",
    "explain": "ttsc.cli.explain_command:explain",
    "explain-error": "ttsc.cli.explain_error_command:explain_error",
    "list": "ttsc.cli.list_command:list_programs",
    "show": "ttsc.cli.show_command:show",
    "engine": "ttsc.cli.engine_command:engine",
    "doctor": "ttsc.cli.doctor_command:doctor",
    "lsp": "ttsc.cli.lsp_command:lsp",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from ttsc.errors import did_you_mean

            hint = did_you_mean(args[0], _COMMANDS, f"the commands: {', '.join(_COMMANDS)}")
            raise click.UsageError(f"{error.message} {hint}", ctx) from None


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ttsc")
def app() -> None:
    """Compile and run test-time-scaling programs.

    A program (a .tts file, or std:NAME from the library) says which candidates are wanted and how to choose among them;
    ttsc decides what to ask the engine, when, and what to stop.

    \b
      ttsc list                                  the library, programs at hand
      ttsc show std:beam_search                  what one says
      ttsc check program.tts                     find errors
      ttsc test program.tts                      run its tests, without an engine
      ttsc run program.tts --set question="…"    get an answer
    """
