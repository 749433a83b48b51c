"""Pushes on their way out: kept on disk, held for the desktop, sent, tried again, taken back."""
