"""What MkDocs does with a page before it is written: cross-references of docstrings become plain names."""

# ruff: noqa: INP001 - a hook of MkDocs, not a package
import re

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(<code>)(?:~[\w.]*\.)?")


def on_page_content(html: str, **_: object) -> str:
    """Turn ``:func:`~syft_flwr.feed.defer``` into ``defer``."""
    return _ROLE.sub(r"\1", html)
