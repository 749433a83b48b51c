"""Text from strangers: cleaned, as markup, from HTML, as a message, as a reply."""
