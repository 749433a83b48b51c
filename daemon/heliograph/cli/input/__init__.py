"""What the user typed: words of commands, user ids, secrets."""
