"""Errors that a user can mend: the message names the input and says what to do. The command line prints it as one line."""


class AvatarForcingError(Exception):
    """Something that the user can mend."""


class InputError(AvatarForcingError):
    """A file, topic, parameter or signal that cannot be used."""


EXTRAS = {  # package that a base install does not have -> the extras that bring it
    "torch": "published (or train, to train)", "safetensors": "published (or train, to train)", "transformers": "published",
    "onnx": "train", "onnxscript": "train",
}  # fmt: skip


def missing_package(error: ModuleNotFoundError) -> Exception:
    """What to raise instead of `error`: an InputError that names the extra; `error` itself where no extra brings the package."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return error
    return InputError(
        f"this needs {package}, which is not installed: pip install 'avatar_forcing_ros[EXTRA]', EXTRA: {EXTRAS[package]}"
    )
