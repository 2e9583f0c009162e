"""TeX to MathML, which a browser sets without a script, with the spaces that TeX would leave."""

from __future__ import annotations

from xml.etree import ElementTree

from latex2mathml.converter import convert

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
SIGNS = "\N{MINUS SIGN}+±"
CLOSING = ")]}|!\N{DOUBLE VERTICAL LINE}\N{RIGHT CEILING}\N{RIGHT FLOOR}\N{PRIME}…\N{MIDLINE HORIZONTAL ELLIPSIS}"
THIN = "0.17em"

ElementTree.register_namespace("", NAMESPACE)


def mathml(tex: str, *, display: bool) -> str:
    """A formula as an element of a page.

    Raises:
        ValueError: it is not well-formed, or a command is left in it.
    """
    made = convert(tex, display="block" if display else "inline")
    if "\\" in made:
        raise ValueError("a command is left in it")
    root = ElementTree.fromstring(made)
    for each in root.iter():
        if _is(each, "math", "mrow", "mtd", "mstyle", "msqrt"):  # the others have a fixed number of parts
            _space(each)
    return ElementTree.tostring(root, encoding="unicode")


def _space(row: ElementTree.Element) -> None:
    """A sign in front of a number belongs to it, and a name of a function stands apart: -log x, not - logx."""
    parts, row[:] = list(row), []
    for i, part in enumerate(parts):
        before, after = (parts[j] if 0 <= j < len(parts) else None for j in (i - 1, i + 1))
        text = part.text or ""
        named = _is(part, "mi", "mo") and len(text) > 1 and text.isalpha()
        if named:
            part.tag = f"{{{NAMESPACE}}}mi"
            if before is not None and not _is(before, "mo"):
                row.append(_thin())
        elif _is(part, "mo") and text in SIGNS and _in_front(before):
            part.attrib |= {"form": "prefix", "lspace": "0", "rspace": "0"}
        row.append(part)
        if named and after is not None and not _is(after, "mo"):
            row.append(_thin())


def _in_front(before: ElementTree.Element | None) -> bool:
    """Whether what follows has nothing to its left that it could be subtracted from."""
    return before is None or (_is(before, "mo") and (before.text or "") not in CLOSING)


def _is(part: ElementTree.Element, *tags: str) -> bool:
    return part.tag.removeprefix(f"{{{NAMESPACE}}}") in tags


def _thin() -> ElementTree.Element:
    return ElementTree.Element(f"{{{NAMESPACE}}}mspace", width=THIN)
