"""What a stream can carry: mathematics in words where it takes ASCII only, and the house's tables.

`spoken` is the one translation of Unicode into ASCII. Superscripts and subscripts are read from Unicode's own tables, a
run of them as one: 2³⁰ is 2^30, Sₜ₋₁ is S_{t-1}. All other signs stand in SIGNS.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table

SIGNS = """α:alpha β:beta γ:gamma Γ:Gamma δ:delta Δ:Delta ε:eps η:eta θ:theta Θ:Theta λ:lambda Λ:Lambda μ:mu ν:nu ξ:xi
π:pi ρ:rho σ:sigma τ:tau φ:phi Φ:Phi χ:chi ψ:psi ω:omega Σ:sum Π:prod ∏:prod ∂:d ∇:grad ∞:inf √:sqrt ·:* ⊙:* ×:x ∘:o
≤:<= ≥:>= ≠:!= ≈:~ ±:+- −:- –:- —:- →:-> ←:<- ⟹:=> ⇒:=> ∈:in ′:' ″:'' ’:' ‘:' “:" ”:" …:... ‖:| ⟨:< ⟩:> ⌈:ceil( ⌉:)
⌊:floor( ⌋:) ✓:+ ✗:x ─:- │:| ▶:> ◀:< \u0302:_hat \u0304:_bar \u0303:_tilde \u00a0:"""
WORDS = dict(pair.split(":") for pair in SIGNS.split())
ROOT = re.compile(r"(\w?)√([½¼]|\w[\w\u0300-\u036f]*)")  # √K is sqrt(K); √(K + 1) has its brackets
COLUMN = re.compile(r"( {2,})")


def spoken(text: str) -> str:
    """A text in ASCII: signs and letters of mathematics by their names, what has none as an escape.

    What follows two or more spaces stands in a column: the spaces give way, so that it stays there.
    """
    return "\n".join(map(_line, text.split("\n")))


def _line(text: str) -> str:
    if text.isascii():
        return text
    said, longer = "", 0
    for part in COLUMN.split(text):
        if COLUMN.fullmatch(part) and said:
            taken = min(longer, len(part) - 1)
            said, longer = said + part[taken:], longer - taken
        else:
            words = _words(part)
            said, longer = said + words, longer + len(words) - len(part)
    return said


def _words(text: str) -> str:
    text = ROOT.sub(lambda found: f"{found[1]}{' ' * bool(found[1])}sqrt({found[2]})", text.replace("≠", "!="))
    said, word_before = "", False
    for kind, letters in groupby(unicodedata.normalize("NFD", text), _kind):
        for word in _read(kind, "".join(letters)):
            if word[:1].isalnum() and (word_before or (kind == "<fraction>" and said[-1:].isdigit())):
                said += " "  # βk is beta k, 1½ is 1 1/2
            said += word
            word_before = kind in ("<super>", "<sub>") or (kind == "sign" and word.isalpha() and len(word) > 1)
    return said


def _kind(letter: str) -> str:
    if letter in WORDS:
        return "sign"
    tag = unicodedata.decomposition(letter).partition(" ")[0]
    return tag if tag in ("<super>", "<sub>", "<fraction>") else ""


def _read(kind: str, letters: str) -> list[str]:
    """What one run of one kind is in ASCII, in words that stand apart."""
    if kind == "sign":
        return [WORDS[letter] for letter in letters]
    if kind == "<fraction>":
        return [_small(letter) for letter in letters]
    if kind == "<super>":
        return ["^" + _small(letters)]
    if kind == "<sub>":
        inner = _small(letters)
        return [f"_{inner}" if inner.isalnum() else f"_{{{inner}}}"]
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))  # an accent
    return [bare.encode("ascii", "backslashreplace").decode()]


def _small(letters: str) -> str:
    """The letters that are set small in these, as letters of the usual size."""
    large = unicodedata.normalize("NFKC", letters).replace("\u2044", "/")
    return "".join(WORDS.get(letter, letter) for letter in large)


def speaks_unicode(console: Console) -> bool:
    """Whether the stream behind the console takes more than ASCII: rich fails on a tick mark otherwise."""
    return (console.encoding or "").lower().replace("-", "").startswith("utf")


def speakable(text: str, encoding: str | None) -> str:
    """The text as a stream of this encoding can carry it: as it is, or in ASCII."""
    try:
        text.encode(encoding or "ascii")
        return text
    except UnicodeEncodeError:
        return spoken(text)


def new_table(console: Console, *columns: str, title: str | None = None) -> Table:
    """An empty table in the house's look; numbers are to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD if speaks_unicode(console) else box.ASCII, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    return table
