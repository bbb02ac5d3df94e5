"""Show the examples of docstrings as code on the site.

Griffe, which reads the docstrings, knows sections called "Examples:" alone. One example is "Example:" here, in the
docstrings and so in `help()`; griffe would make a box of prose of it, and of each >>> three quotations.
"""

from __future__ import annotations

import re

import griffe


class Examples(griffe.Extension):
    """Call each section "Example:" "Examples:" before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """See to one module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
