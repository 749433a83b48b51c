"""Completes words in bash and zsh, in place of click's own scripts.

In bash, click's script splits user ids at ":" and "@", and lets the shell expand wildcards. In zsh, it does nothing
the second time. For fish, click's script is good.

Tests: test_user_ids_complete_in_bash_which_breaks_words_in_them, test_commands_and_accounts_complete_in_zsh.
"""

from __future__ import annotations

import os
from typing import Any

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

PROGRAM = "heliograph"
VARIABLE = "_HELIOGRAPH_COMPLETE"
"""The environment variable with which the shell's function asks for completions, named by click's rule."""

_BASH = """\
%(complete_func)s() {
    local kind value typed=${COMP_LINE:0:COMP_POINT}
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS=$typed %(complete_var)s=bash_complete "$1" 2>/dev/null)
    # Readline replaces only what stands after the last of these, which are "@", ":" and "=", too.
    typed=${typed##*[[:space:]]}
    typed=${typed#--*=}
    typed=${typed%%"${typed##*["$COMP_WORDBREAKS"]}"}
    COMPREPLY=("${COMPREPLY[@]#"$typed"}")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local kind value help
    local -a lines values shown
    lines=("${(@f)$(COMP_WORDS="${words[1,CURRENT-1]} $PREFIX" %(complete_var)s=zsh_complete ${words[1]} 2>/dev/null)}")
    [[ $PREFIX == --*=* ]] && compset -P '*='
    for kind value help in "${lines[@]}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files ;;
            plain) values+=("$value"); shown+=("$value${help:+  -- $help}") ;;
        esac
    done
    (( $#values )) && compadd -l -V heliograph -d shown -a values
}

if [[ $funcstack[1] == _%(prog_name)s ]]; then
    # Found in fpath: this file is the function.
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class _ByLine(ShellComplete):
    """A shell that asks with the whole line up to the cursor."""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_WORDS", "")
        # A blank at the end begins a new word; without one, the last word is still being typed.
        words = split_arg_string(line)
        incomplete = "" if not words or line[-1:].isspace() else words.pop()
        # The first word is the program's own name.
        return words[1:], incomplete


class Bash(_ByLine):
    """Answers with a line `kind,value` for each completion."""

    name = "bash"
    source_template = _BASH

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value}"


class Zsh(_ByLine):
    """Answers with three lines for each completion: kind, value and help."""

    name = "zsh"
    source_template = _ZSH

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type}\n{item.value}\n{item.help or ''}"


add_completion_class(Bash)
add_completion_class(Zsh)


def script_for(shell: str, program: Any) -> str:
    """The script that makes this shell complete the words of `program`, a click command."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    return kind(program, {}, PROGRAM, VARIABLE).source()
