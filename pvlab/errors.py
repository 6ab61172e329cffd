"""What a user did that cannot be done: one class for all, so that the command line can say it in one line."""


class PvlabError(Exception):
    """Bad input. The message is one sentence that names what was wrong and where; the command line exits with 2."""
