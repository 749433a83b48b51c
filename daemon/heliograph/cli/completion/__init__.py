"""`heliograph completion`."""

from __future__ import annotations

import click


@click.command("completion", short_help="Print what makes your shell complete heliograph's words.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes this shell complete commands, options, accounts and numbers of rooms.

    \b
    Examples:
      heliograph completion bash > ~/.local/share/bash-completion/completions/heliograph
      heliograph completion fish > ~/.config/fish/completions/heliograph.fish
      heliograph completion zsh > ~/.zfunc/_heliograph

    zsh looks into ~/.zfunc if ~/.zshrc says, before compinit: fpath+=~/.zfunc
    """
    from heliograph.cli.completion.scripts import script_for

    click.echo(script_for(shell, ctx.find_root().command), nl=False)
