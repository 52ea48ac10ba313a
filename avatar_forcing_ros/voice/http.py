"""Calls to servers that speak OpenAI's interface, with the standard library. Every failure is an InputError of one line."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from avatar_forcing_ros.errors import InputError


class Answer:
    """The body of an answer, read as it comes."""

    def __init__(self, response: Any, base: str) -> None:
        self._response, self._base = response, base

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, b"" at the end; all that is left without a size."""
        with failures(self._base):
            return self._response.read(size) if size >= 0 else self._response.read()

    def lines(self) -> Iterator[str]:
        while True:
            with failures(self._base):
                line = self._response.readline()
            if not line:
                return
            yield line.decode(errors="replace").rstrip("\r\n")


class Server:
    """base: address that ends in /v1; key: sent as a bearer token where it is given."""

    def __init__(self, base: str, key: str = "") -> None:
        if not base.startswith(("http://", "https://")):
            raise InputError(f"'{base}' is not the address of a server: give one such as http://localhost:8080/v1")
        self.base, self._key = base.rstrip("/"), key

    def post_json(self, path: str, body: dict, timeout: float) -> contextlib.AbstractContextManager[Answer]:
        return self._post(path, json.dumps(body).encode(), "application/json", timeout)

    def post_form(
        self, path: str, fields: dict[str, str], file: tuple[str, str, bytes], timeout: float
    ) -> contextlib.AbstractContextManager[Answer]:
        """multipart/form-data; file: its field, its name, its bytes."""
        mark = secrets.token_hex(16)
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()
        ]
        field, name, data = file
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: audio/wav\r\n\r\n'
        body = b"".join([*parts, head.encode(), data, f"\r\n--{mark}--\r\n".encode()])
        return self._post(path, body, f"multipart/form-data; boundary={mark}", timeout)

    @contextlib.contextmanager
    def _post(self, path: str, body: bytes, kind: str, timeout: float) -> Iterator[Answer]:
        request = urllib.request.Request(self.base + path, body, {"Content-Type": kind})
        if self._key:
            request.add_header("Authorization", f"Bearer {self._key}")
        with failures(self.base):
            response = urllib.request.urlopen(request, timeout=timeout)
        try:
            yield Answer(response, self.base)
        finally:
            response.close()


@contextlib.contextmanager
def failures(base: str) -> Iterator[None]:
    """What can go wrong on the way -> InputError."""
    try:
        yield
    except urllib.error.HTTPError as error:
        try:
            told = error.read(300).decode(errors="replace").strip().replace("\n", " ")
        except (OSError, http.client.HTTPException):
            told = ""
        raise InputError(f"the server at {base} answered {error.code} {error.reason}: {told}") from None
    except TimeoutError:
        raise InputError(f"the server at {base} does not answer in time") from None
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise InputError(f"the server at {base} does not answer in time") from None
        raise InputError(f"the server at {base} cannot be used: {reason}") from None
