"""Errors that a user can mend; `exits` shows them as one line."""


class StageError(Exception):
    """A stage cannot go on; the message names what is wrong (file and line, or param) and the remedy."""
