"""Text for people: lists in a sentence, plurals, and class names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from flskew._util.texts import LONGEST_NAME, cut, printable
from flskew.typing import Label

__all__ = ["capital", "listed", "named_partitions", "names_of_classes", "one_line", "plural"]


def one_line(name: object) -> str:
    """Return a name as one printable line of bounded length; names come from other people's files."""
    return " ".join(printable(cut(str(name), LONGEST_NAME)).split())


def plural(count: int, word: str) -> str:
    """Return a count and its noun.

    Examples:
        >>> plural(1, "row"), plural(2000, "class")
        ('1 row', '2,000 classes')
    """
    ending = "" if count == 1 else "es" if word.endswith("s") else "s"
    return f"{count:,} {word}{ending}"


def listed(names: Sequence[object], most: int = 6, last: str = "and") -> str:
    """Return names as in a sentence, "1, 3 and 7"; if there are many, only the first few.

    Examples:
        >>> listed([1, 3, 7])
        '1, 3 and 7'
        >>> listed(range(100), most=3)
        '0, 1, 2 and 97 more'
    """
    words = list(map(one_line, names[:most]))
    if len(names) > most:
        return f"{', '.join(words)} and {len(names) - most} more"
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def named_partitions(names: Sequence[object], most: int = 6) -> str:
    """Return partitions as in a sentence: names stand alone, and numbers follow the word partition.

    Examples:
        >>> named_partitions(["Bern", "Lyon"]), named_partitions([3])
        ('Bern and Lyon', 'partition 3')
    """
    numbers = not all(any(map(str.isalpha, str(name))) for name in names)
    return f"partition{'s' * (len(names) > 1)} {listed(names, most)}" if numbers else listed(names, most)


def capital(subject: str) -> str:
    """Return the start of a sentence: names keep their first letter, and the word partition gets a capital."""
    return f"P{subject[1:]}" if subject.startswith(("partition ", "partitions ")) else subject


def names_of_classes(class_names: object, classes: Sequence[Label]) -> tuple[str, ...]:
    """Return one name per class.

    Raises:
        TypeError: The names are not a list; a set, for example, has no order.
        ValueError: There are more or fewer names than classes.
    """
    known = f"the classes are {listed(classes)}"
    if isinstance(class_names, str | bytes | Mapping | Set) or not isinstance(class_names, Iterable):
        raise TypeError(f"class_names must be a list with one name per class, got {class_names!r:.40}; {known}")
    names = tuple(map(str, class_names))
    if len(names) != len(classes):
        raise ValueError(f"class_names must be {len(classes)} names, one per class, got {len(names)}; {known}")
    return names
