"""The group of all commands: in the order of work, with a "did you mean" for a misspelt one."""

from __future__ import annotations

import click

ENDING = ("stop", "rollback", "release")


class CommandGroup(click.Group):
    """Click's group, with what its own lacks."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which they are declared."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a "did you mean" for a misspelt command."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from towline.model.problem import did_you_mean

            # A word that only looks alike must not lead to what ends or undoes a rollout: `top` is not `stop`.
            known = [name for name in self.commands if name not in ENDING or name[0] == args[0][0]]
            hint = did_you_mean(args[0], known) or "See: towline --help"
            ctx.fail(f"no such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)
