"""The nodes' help pages: web/docs/NODE.md, and in Chinese web/docs/NODE/zh.md, where ComfyUI's frontend asks for it first."""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from canvas_words import CHINESE, tables

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "web" / "docs"
PAGES = sorted(file.stem for file in DOCS.glob("*.md"))
NAME = re.compile(r"\*\*(\w+)\*\*(?:（(\w[^）]*)）)?")
CODE = re.compile(r"`([^`]+)`")
#: `*Dragon Invert*（Dragon 反演）`, and the same in a page's title.
TITLE = re.compile(r"(Dragon(?: [A-Z][A-Za-z-]+)+)\*?（(Dragon [^），]+)")
REMARK = re.compile(r"\*[^*]+\*")

Table = list[list[str]]


def english(node: str) -> str:
    return (DOCS / f"{node}.md").read_text("utf-8")


def chinese(node: str) -> str:
    return (DOCS / node / "zh.md").read_text("utf-8")


def locale(language: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
    return read


def cells(page: str) -> list[Table]:
    """Tables of rows of cells; the first row is the heading, the line below it is left out."""
    found = re.findall(r"(?:^\|.*\n)+", page + "\n", re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.split("\n") if row.strip("|-")] for table in found]


def messages(page: str) -> list[str]:
    """What the program says, without our remarks beside it."""
    told = [table[1:] for table in cells(page) if table[0][0].startswith(("message", "error", "消息", "错误"))]
    return [REMARK.sub("", row[0]).strip() for table in told for row in table]


def test_every_page_is_there_in_chinese_and_no_other() -> None:
    assert sorted(locale("en")) == PAGES
    assert sorted(file.relative_to(DOCS).as_posix() for file in DOCS.glob("*/**/*.md")) == [f"{node}/zh.md" for node in PAGES]


@pytest.mark.parametrize("node", PAGES)
def test_both_pages_have_the_same_parts(node: str) -> None:
    """Headings, lists and tables in the same order; a row of a table has the same names and the same code."""
    part = re.compile(r"^(?:#+ |- |\d\. |\|)", re.MULTILINE)
    assert part.findall(chinese(node)) == part.findall(english(node))
    for ours, theirs in zip(cells(english(node)), cells(chinese(node)), strict=True):
        for row, translated in zip(ours, theirs, strict=True):
            assert [name for name, _ in NAME.findall(translated[0])] == [name for name, _ in NAME.findall(row[0])], row
            assert sorted(CODE.findall(" ".join(translated))) == sorted(CODE.findall(" ".join(row))), row
            assert len(translated) == len(row), row
            assert CHINESE.search("".join(translated)) or not re.search("[a-z]{4}", row[0] + row[-1]), row


@pytest.mark.parametrize("node", PAGES)
def test_names_are_those_on_the_nodes(node: str) -> None:
    """Beside each English name the one that a Chinese user sees, as locales/zh has it."""
    page, ours, theirs = chinese(node), locale("en"), locale("zh")
    shown = {ours[name]["display_name"]: theirs[name]["display_name"] for name in ours}
    wrong = [pair for pair in TITLE.findall(page) if shown.get(pair[0]) != pair[1]]
    for table in cells(page):
        group = {"输入": "inputs", "输出": "outputs"}.get(table[0][0])
        if group is None:
            continue
        labels = {texts["name"]: theirs[node][group][key]["name"] for key, texts in ours[node][group].items()}
        wrong += [pair for row in table[1:] for pair in NAME.findall(row[0]) if labels.get(pair[0]) != (pair[1] or pair[0])]
        assert sorted(name for row in table[1:] for name, _ in NAME.findall(row[0])) == sorted(labels), "each is explained, once"
    assert wrong == []
    assert page.startswith(f"# {ours[node]['display_name']}（{theirs[node]['display_name']}）\n")


@pytest.mark.parametrize("node", PAGES)
def test_messages_are_quoted_as_they_are_said(node: str) -> None:
    """In English, as Python says them; what the canvas says is in web/canvas/words.js in Chinese, too."""
    filled = {"drawn": "W×H", "now": "W×H", "number": "N"}
    words = [[re.sub(r"\{(\w+)\}", lambda m: filled.get(m[1], m[0]), text).lower() for text in table.values()] for table in tables()]
    for ours, theirs in zip(messages(english(node)), messages(chinese(node)), strict=True):
        if theirs != ours:
            pair = (ours.lower(), theirs.lower())
            assert any(said.startswith(pair[0]) and spoken.startswith(pair[1]) for said, spoken in zip(*words, strict=True)), theirs


Words = tuple[str, ...]
#: What a message leaves to the case: a number, a name, a size.
OPEN = "…"


def literal(node: ast.AST) -> str | None:
    """A text of the program, `OPEN` where it puts a value; None for what is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or OPEN for part in node.values)
    return None


def words(text: str) -> Words:
    plain = re.sub(r"\([^)]*\)|[`,:;.]", " ", re.sub(r"%[ds]|%\.\df|\{\w+\}", OPEN, text.lower()))
    return tuple(OPEN if OPEN in word or re.fullmatch("[mn]|w×h", word) else word for word in plain.split())


@functools.cache
def said() -> frozenset[Words]:
    """All texts of the nodes, of what they stand on, and of the canvas."""
    files = [file for part in ("nodes", "dragon_core") for file in (ROOT / part).rglob("*.py")]
    texts = [literal(node) for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    return frozenset(filter(None, (words(text) for text in (*texts, *tables()[0].values()) if text)))


def words_in_common(text: Words, quoted: Words) -> int:
    """How many words of a quotation stand in a text, in their order and one after another but for what either leaves open; negative if
    it is not in there.
    """

    @functools.cache
    def most(i: int, j: int) -> int:
        if j == len(quoted):
            return 0
        if i == len(text):
            return 0 if set(quoted[j:]) == {OPEN} else -len(quoted)
        if OPEN in (text[i], quoted[j]):
            return max(most(i + 1, j), most(i, j + 1), most(i + 1, j + 1))
        return 1 + most(i + 1, j + 1) if text[i] == quoted[j] else -len(quoted)

    return max(most(start, 0) for start in range(len(text)))


def nobody_says(page: str) -> list[str]:
    """Messages in the tables of a page, several in a row parted by " / ", that are in no text of the program: two fifths of their
    words at least, the others may be what it puts in.
    """
    quotations = [quoted for row in messages(page) for quoted in row.split(" / ")]
    return [
        quoted
        for quoted in quotations
        if all(words_in_common(text, words(quoted)) < 0.4 * sum(word != OPEN for word in words(quoted)) for text in said())
    ]


@pytest.mark.parametrize("node", PAGES)
def test_messages_that_are_explained_are_said(node: str) -> None:
    assert nobody_says(english(node)) == []


def test_messages_in_the_readme_are_said() -> None:
    assert nobody_says((ROOT / "README.md").read_text("utf-8")) == []
