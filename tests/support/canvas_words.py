"""What Dragon Canvas says in the browser, read out of web/canvas/words.js: its English and its Chinese table."""

from __future__ import annotations

import re
from pathlib import Path

WEB = Path(__file__).parents[2] / "web"
WORDS = WEB / "canvas" / "words.js"
TABLE = re.compile(r"const (ENGLISH|CHINESE) = Object\.freeze\(\{\n(.*?)\n\}\)", re.DOTALL)
ENTRY = re.compile(r"  (\w+): '(.+)',?")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def tables() -> tuple[dict[str, str], dict[str, str]]:
    """English and Chinese texts by the name the canvas asks for; AssertionError where the file has another form."""
    found = {}
    for name, body in TABLE.findall(WORDS.read_text("utf-8")):
        entries = [ENTRY.fullmatch(line) for line in body.splitlines() if line]
        assert all(entries), "one entry a line, in single quotes"
        found[name] = dict(entry.groups() for entry in entries if entry)
        assert len(found[name]) == len(entries), "a word twice"
    return found["ENGLISH"], found["CHINESE"]
