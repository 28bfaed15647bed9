"""What Dragon Canvas says in the browser: the tables of web/canvas/words.js against each other and against who asks."""

from __future__ import annotations

import re

from canvas_words import CHINESE, WEB, WORDS, tables

#: `say('undo')`, `new UnreadableDrawing('notJson')`; the tables of tools; what is handed to the checks of a drawing.
ASKED = (
    re.compile(r"\b(?:say|UnreadableDrawing)\('(\w+)'"),
    re.compile(r"\b(?:title|arrow|brush|eraser|lasso|move|wand): '(\w+)'"),
    re.compile(r"'((?:broken|tooMany|far)\w*)'"),
)


def test_every_word_is_there_in_both_languages() -> None:
    english, chinese = tables()
    assert list(english) == list(chinese)
    assert [word for word, text in chinese.items() if not CHINESE.search(text)] == []
    assert [word for word, text in english.items() if CHINESE.search(text)] == []


def test_both_languages_have_the_same_values_put_in() -> None:
    english, chinese = tables()
    values = [{word: sorted(re.findall(r"\{(\w+)\}", text)) for word, text in table.items()} for table in (english, chinese)]
    assert values[0] == values[1]


def test_every_word_that_is_asked_for_is_there_and_no_other() -> None:
    english, _ = tables()
    scripts = "\n".join(file.read_text("utf-8") for file in sorted(WEB.rglob("*.js")) if file != WORDS)
    asked = {word for pattern in ASKED for word in pattern.findall(scripts)}
    assert asked - set(english) == set(), "no such word in web/canvas/words.js"
    assert set(english) - asked == set(), "nobody says these"
