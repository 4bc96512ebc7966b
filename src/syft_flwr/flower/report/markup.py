"""HTML and SVG as a tree: text and attributes are escaped when it is written, whatever they hold."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from syft_flwr.printable import printable

Node = Element | str | None

_LONGEST = 20_000


def tag(name: str, *content: Node, **attributes: object) -> Element:
    """Make an element.

    Args:
        name: Its name.
        content: Elements and text; ``None`` is left out.
        attributes: A trailing underscore is dropped, others become hyphens (``class_``, ``text_anchor``);
            ``None`` leaves an attribute out, and a float is written with one decimal.
    """
    values = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    element = Element(name, {key: _attribute(value) for key, value in values.items()})
    for node in content:
        _append(element, node)
    return element


def titled(element: Element, text: str) -> Element:
    """Give an SVG element a tooltip."""
    title = SubElement(element, "title")
    title.text = clean(text)
    return element


def to_html(*nodes: Node) -> str:
    """Write nodes as HTML."""
    # In its own tree, or the text behind an element would be written with it.
    return tostring(tag("div", *nodes), encoding="unicode", method="html")


def clean(text: str) -> str:
    """Write as escapes what HTML forbids in text, and what would mislead a reader."""
    return "\n".join(printable(line, _LONGEST) for line in text.split("\n"))


def _append(element: Element, node: Node) -> None:
    if node is None:
        return
    if isinstance(node, Element):
        element.append(node)
    elif len(element):
        element[-1].tail = (element[-1].tail or "") + clean(node)
    else:
        element.text = (element.text or "") + clean(node)


def _attribute(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else clean(str(value))
