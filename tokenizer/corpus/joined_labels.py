"""Labels that are made of others, such as `billing;bug`: what joins them, and their parts."""

import re
from collections.abc import Iterable, Mapping

from tokenizer.corpus.row_labels import OneLabel

JOINTS = (",", ";", "|")
# These are in names, too, so that several labels must be made of others, and texts have these alone.
OTHER_JOINTS, MADE_LABELS, OWN_TEXTS = (" ", "/", "><"), 3, 2
JOINED_SHARE, MOST_SHARE = 0.1, 0.5
# Halves and quarters, as ratings have them.
DECIMAL_COMMA = re.compile(r"-?\d+(,(0|00|25|5|50|75))?")


def joint_of(
    by_key: Mapping[str, list[OneLabel]], counts: Mapping[OneLabel, int], texts: int
) -> tuple[str, str, int] | None:
    """What joins labels into others, such as `;` in `billing;bug`, with an example and the number of parts.

    It does so where there are fewer parts than labels, or where most labels are joined and some have a part in common,
    but for commas, which may be in a name. One joined label may be a class.

    Args:
        by_key: the labels by what they have in common.
        counts: of each label.
        texts: their number.
    """
    found: list[tuple[bool, tuple[str, str, int]]] = []
    for joint in JOINTS:
        parts_of = {key: parts_in(key, joint) for key in by_key}
        joined = [key for key, parts in parts_of.items() if len(parts) > 1]
        parts = set().union(*parts_of.values())
        share = sum(counts[label] for key in joined for label in by_key[key]) / texts
        are_fewer = share >= JOINED_SHARE and len(parts) < len(by_key)
        have_same = len(set().union(*(parts_of[key] for key in joined))) < sum(len(parts_of[key]) for key in joined)
        if len(joined) > 1 and (are_fewer or (share >= MOST_SHARE and joint != "," and have_same)):
            found.append((are_fewer, (joint, joined[0], len(parts))))
    # A few labels with another joint may be mistyped.
    return max(found, key=lambda one: one[0], default=(False, None))[1]


def parts_in(label: str, joint: str) -> set[str]:
    """The labels in a label, if they are joined.

    >>> sorted(parts_in("bug; billing", ";")), parts_in("bug", ";")
    (['billing', 'bug'], {'bug'})
    """
    return {part.strip() for part in label.split(joint)} - {""}


def made_of_others(texts: Mapping[str, int], joint: str) -> list[str]:
    """The labels whose parts are all labels that some texts have alone, where these parts are combined in several ways.

    Args:
        texts: of each label.
        joint: what may stand between the parts.

    >>> made_of_others({"a": 3, "b": 3, "c": 3, "a/b": 1, "b/c": 1, "c/a": 1, "a/x": 9}, "/")
    ['a/b', 'b/c', 'c/a']
    >>> made_of_others({"good": 3, "bad": 3, "very good": 3, "very bad": 3, "very": 3}, " ")
    []
    """
    parts_of = {key: parts_in(key.strip("<>") if joint == "><" else key, joint) for key in texts}
    alone = {next(iter(parts)) for key, parts in parts_of.items() if len(parts) == 1 and texts[key] >= OWN_TEXTS}
    made = {key: parts for key, parts in parts_of.items() if len(parts) > 1 and parts <= alone}
    # A word that is in each of them is rather one before a label than a label.
    in_all = set.intersection(*made.values()) if made else set()
    return [] if in_all else list(made)


def have_decimal_commas(labels: Iterable[str]) -> bool:
    """Whether labels may be ratings as German writes them; among several labels, other numbers stand after a comma.

    >>> have_decimal_commas(["3", "3,5", "-1,0"]), have_decimal_commas(["1", "1,2", "2,3"])
    (True, False)
    """
    return all(map(DECIMAL_COMMA.fullmatch, labels))
