"""The one exception that the command line shows without a traceback."""


class DevError(RuntimeError):
    """Something the developer can put right; the message says what and how."""
