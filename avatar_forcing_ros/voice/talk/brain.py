"""The seam of what answers: a scripted host from a YAML file, or any server with OpenAI's /v1/chat/completions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from avatar_forcing_ros.assets import HOST
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice import http

KEPT_TURNS = 20  # of the talk that a server is told
_TIMEOUT_S = 30.0
_MOST_CHARACTERS = 4000  # of one answer
_SENTENCE = re.compile(r"(.+?[.!?…]+[\"')\]]*)(\s+|$)", re.S)
_PROMPT = (
    "You are a friendly host on a screen, and your answers are spoken. Answer in one to three short sentences, without lists or "
    'formatting. You may use <mark name="smile"/>, <mark name="nod"/> or <mark name="happy"/> before a word.'
)


class Brain:
    """Answers what was said. One talk; called from one thread at a time."""

    name = ""
    hears_silence = True  # it has an answer where words were not recognised

    def greeting(self) -> str:
        """What is said when somebody comes; "" for nothing."""
        return ""

    def answer(self, text: str) -> Iterator[str]:
        """Sentences, as they come, with marks; text "" where somebody spoke and no words were recognised. Raises InputError."""
        raise NotImplementedError

    def forget(self) -> None:
        """The next one to speak is somebody else."""


class ScriptedHost(Brain):
    """Rules of a YAML file: `greeting`, `rules` (each with `when`: words or phrases, and `say`: one of its texts), `fallback` and
    `unheard` (where no words were recognised). Texts come one after the other."""

    def __init__(self, file: str | Path = HOST) -> None:
        self.name = f"scripted host ({Path(file).name})"
        try:
            told = yaml.safe_load(Path(file).read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{file}: cannot be read as the script of a host: {str(error).splitlines()[0]}") from None
        if not isinstance(told, dict):
            raise InputError(f"{file}: is not a script of a host: it needs greeting, rules and fallback")
        unknown = set(told) - {"greeting", "rules", "fallback", "unheard"}
        if unknown:
            raise InputError(f"{file}: '{sorted(unknown)[0]}' is unknown; use greeting, rules, fallback, unheard")
        self._greeting = _texts(file, "greeting", told.get("greeting", []))
        self._fallback = _texts(file, "fallback", told.get("fallback", []))
        self._unheard = _texts(file, "unheard", told.get("unheard", []))
        self._rules: list[tuple[list[str], list[str]]] = []
        for rule in told.get("rules") or []:
            if not isinstance(rule, dict) or not rule.get("when") or not rule.get("say"):
                raise InputError(f"{file}: a rule needs when (words or phrases) and say: {rule}")
            phrases = [_plain(p) for p in _texts(file, "when", rule["when"])]
            self._rules.append((phrases, _texts(file, "say", rule["say"])))
        self._said: dict[int, int] = {}  # how often each list of texts was used

    def greeting(self) -> str:
        return self._next(self._greeting)

    def answer(self, text: str) -> Iterator[str]:
        if not text.strip():
            said = self._next(self._unheard)
        else:
            said = self._next(self._choose(f" {_plain(text)} ") or self._fallback)
        if said:
            yield said

    def _choose(self, text: str) -> list[str]:
        """The texts of the rule whose longest phrase is in the text."""
        found = [
            (len(p), -i, says) for i, (phrases, says) in enumerate(self._rules) for p in phrases if f" {p} " in text
        ]
        return max(found)[2] if found else []

    def _next(self, texts: list[str]) -> str:
        if not texts:
            return ""
        count = self._said.get(id(texts), 0)
        self._said[id(texts)] = count + 1
        return texts[count % len(texts)]

    def forget(self) -> None:
        self._said.clear()


class OpenAIBrain(Brain):
    """base: address that ends in /v1; key from OPENAI_API_KEY. The answer is spoken sentence by sentence as it streams in."""

    hears_silence = False

    def __init__(self, base: str, model: str, prompt: str = "", timeout: float = _TIMEOUT_S) -> None:
        self._server = http.Server(base, os.environ.get("OPENAI_API_KEY", ""))
        self._model, self._prompt, self._timeout = model, prompt or _PROMPT, timeout
        self.name = f"{model} at {self._server.base}"
        self._talk: list[dict[str, str]] = []

    def answer(self, text: str) -> Iterator[str]:
        if not text.strip():
            return
        asked = [*self._talk, {"role": "user", "content": text}]
        body = {"model": self._model, "stream": True, "messages": [{"role": "system", "content": self._prompt}, *asked]}
        said = rest = ""
        with self._server.post_json("/chat/completions", body, self._timeout) as answer:
            for piece in _streamed(answer.lines()):
                rest += piece
                while (sentence := _SENTENCE.match(rest)) and sentence.end() < len(rest):
                    rest = rest[sentence.end() :]
                    said += sentence[0]
                    yield sentence[1].strip()
                if len(said) + len(rest) > _MOST_CHARACTERS:
                    break
        if rest.strip():
            said += rest
            yield rest.strip()
        if not said:
            raise InputError(f"the server at {self._server.base} gave an empty answer")
        self._talk = [*asked, {"role": "assistant", "content": said}][-KEPT_TURNS:]

    def forget(self) -> None:
        self._talk.clear()


def _streamed(lines: Iterator[str]) -> Iterator[str]:
    """The text of server-sent events, or of one JSON answer where the server does not stream."""
    other = []
    for line in lines:
        if not line.startswith("data:"):
            other.append(line)
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        yield _content(data, "delta")
    if any(line.strip() for line in other):
        whole = "".join(other).strip()
        if whole.startswith("{"):
            yield _content(whole, "message")


def _content(data: str, kind: str) -> str:
    try:
        told: Any = json.loads(data)
        choices = told.get("choices") or [{}]
        return str((choices[0].get(kind) or {}).get("content") or "")
    except (ValueError, AttributeError, IndexError, TypeError):
        raise InputError("the server's answer does not have the form of /v1/chat/completions") from None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s']", " ", text.lower()).split())


def _texts(file: str | Path, name: str, found: Any) -> list[str]:
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
        raise InputError(f"{file}: {name} has to be a text or a list of texts")
    return found


def make_brain(script: str = "", base: str = "", model: str = "", prompt: str = "") -> Brain:
    """A server where its address is given, else the scripted host: of a file, or the one in the box."""
    if base:
        if not model:
            raise InputError(f"the server at {base} needs the name of a model")
        return OpenAIBrain(base, model, prompt)
    return ScriptedHost(script or HOST)
