"""Makes texts of strangers fit to be shown: cleans them, reads HTML, writes markup, words events and replies."""
