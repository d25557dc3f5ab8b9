"""Pages for people with a browser: no script, nothing from elsewhere, right in a text browser."""
