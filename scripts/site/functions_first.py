"""An extension of Griffe: a function that a package exports hides the module of the same name, as it does in Python.

`flskew.skew.report` is a function. Griffe would show the module that defines it, with all that it contains.
"""

from __future__ import annotations

from typing import Any

import griffe


class FunctionsFirst(griffe.Extension):
    """Replaces such modules once everything that refers to them is resolved."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Look through a package that has just been loaded."""
        loader.resolve_aliases()
        for module in [pkg, *_submodules(pkg)]:
            for name in map(str, module.exports or ()):
                member = module.members.get(name)
                if member and not member.is_alias and member.is_module and name in member.members:
                    module.members[name] = griffe.Alias(name, member.members[name], parent=module)


def _submodules(module: griffe.Module) -> list[griffe.Module]:
    direct = [member for member in module.members.values() if not member.is_alias and member.is_module]
    return direct + [deeper for member in direct for deeper in _submodules(member)]
