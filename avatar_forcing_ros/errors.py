"""Errors that a user can mend: the message names the input and says what to do. The command line prints it as one line."""


class AvatarForcingError(Exception):
    """Something that the user can mend."""


class InputError(AvatarForcingError):
    """A file, topic, parameter or signal that cannot be used."""
