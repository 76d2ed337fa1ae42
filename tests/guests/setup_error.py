"""The one error of the set-up: a message that says what happened and what to do."""


class SetupError(Exception):
    """The set-up cannot go on; the text is for the user and names the remedy."""
