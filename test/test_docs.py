"""The documentation is in step with the code: generated pages, links, commands, and words for every topic."""

import argparse
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from avatar_forcing_ros import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROSE = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "QUALITY_DECLARATION.md",
    *(ROOT / "avatar_forcing_ros" / "assets").rglob("*.md"),
]
LONGEST_SENTENCE = 30  # words
README_LINES, README_WORDS = 150, 4 * 200  # four minutes at 200 words a minute


def tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_messages_and_topics_are_those_of_the_code():
    made = tool("interfaces").pages()
    stale = [str(path) for path, text in made.items() if not path.is_file() or path.read_text() != text]
    assert not stale, "run tools/docs/interfaces.py"


def test_every_topic_service_and_action_is_described():
    module = tool("interfaces")
    names = {e.name.replace("PREFIX", "") for e in module.endpoints() if e.direction != "calls"}
    assert names - set(module.words()) == set(), "describe them in tools/docs/topics.yaml"
    assert set(module.words()) - names == set(), "no node has these"


def test_every_message_field_is_explained():
    """Each field of a message has a comment, unless its name is that of the message's header."""
    for file in [*(ROOT / "msg").glob("*.msg"), *(ROOT / "srv").glob("*.srv"), *(ROOT / "action").glob("*.action")]:
        assert file.read_text().startswith("#"), f"{file.name}: say in the first line what it is"


def test_tables_of_inputs_are_those_of_the_decoders():
    page = tool("inputs")
    assert page.PAGE.read_text() == page.page(), "run tools/docs/inputs.py"


def test_the_command_line_is_that_of_the_parser():
    page = tool("command_line")
    assert page.PAGE.read_text() == page.page(), "run tools/docs/command_line.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def sentences(text: str) -> list[list[str]]:
    """The words of each sentence. A cell of a table and an item of a list are sentences of their own; code is left out."""
    text = re.sub(r"```.*?```|<!--.*?-->|!\[[^\]]*\]\([^)]*\)", "\n\n", text, flags=re.S)
    text = re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.M)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*] |\d+\. |[#|]))|(?<!\\)\|", text)
    parts = (part for block in blocks for part in re.split(r"(?<=[.!?])[)\"*_]*\s+(?=[^a-z\s])", block))
    return [words for part in parts if (words := re.findall(r"[A-Za-z0-9][\w'./`-]*", part))]


def test_sentences_are_counted():
    text = "One two. Three (four) five!\n\n    code is left out\n\n| a b | c |\n- an [item](of/a/list.md)\n- 2 x\n"
    assert [len(words) for words in sentences(text)] == [2, 3, 2, 1, 2, 2]


@pytest.mark.parametrize("page", PROSE, ids=lambda p: str(p.relative_to(ROOT)))
def test_sentences_are_short(page):
    long = [" ".join(words) for words in sentences(page.read_text()) if len(words) > LONGEST_SENTENCE]
    assert not long, f"{page.name}: split the sentences of more than {LONGEST_SENTENCE} words"


def test_the_readme_is_read_in_four_minutes():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    assert sum(map(len, sentences(text))) <= README_WORDS


def commands_in(page: Path) -> list[str]:
    """The lines of code blocks that call the command, continued lines joined."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^(?: {4,}|\t)(.+)$", text, re.M)
    for block in re.findall(r"```(?:bash|sh|console)?\n(.*?)```", text, re.S):
        lines += block.splitlines()
    found = [re.sub(r"\s+#.*", "", line.strip()).removeprefix("$ ").removeprefix(".venv/bin/") for line in lines]
    return [line for line in found if re.match(r"avatar-forcing [a-z]", line)]


def test_commands_are_found_at_all():
    assert sum(len(commands_in(page)) for page in PAGES) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_documented_command_is_one_that_the_parser_takes(page, monkeypatch):
    """What they do is tested by test_documented_commands.py and the rooms' own tests; here none may be misspelt."""

    def refuse(self, message):
        raise AssertionError(f"{page.name}: {message}")

    monkeypatch.setattr(argparse.ArgumentParser, "error", refuse)
    parser = cli._parser()
    for line in commands_in(page):
        if "..." not in line and "|" not in line:
            parser.parse_args(shlex.split(re.sub(r"[<>&;].*", "", line))[1:])
