"""The one error type of the pack."""


class DragonError(ValueError):
    """The user's input cannot be used. The message says what was wrong and what to do; nodes put their name before it."""
