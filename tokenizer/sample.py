"""The built-in sample: made-up reviews of the films in `sample_world.py`.

It proves the machinery, not the method: the text is synthetic. Its sentiment has to be read, not counted:
praise is often a negated fault ("anything but dull"), the main clause outweighs the conceded one, hearsay is
confirmed or denied, and two labelled reviews in five are evenly mixed until their verdict.
"""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.errors import InputError
from tokenizer import sample_world
from tokenizer.sample_world import ASPECTS, BAD, GOOD, INTENSIFIERS, NEGATIONS, Aspect, Film, films, pick, pick_some

SIZES = {"unlabelled": 24_000, "train": 8_000, "validation": 1_000, "test": 2_000}
LABELS = ("negative", "positive")


def rows(split: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The documents of `unlabelled` (text alone), or of `train`, `validation` or `test` (text and label).

    Each is a function of its split and number alone, so that splits never share a stream of randomness.

    Raises:
        InputError: there is no such split.
    """
    if split not in SIZES:
        raise InputError(f"corpus.split: the built-in sample has {', '.join(SIZES)}; not {split!r}")
    for number in range(SIZES[split]):
        rng = random.Random(f"bertlet sample {split} {number}")
        place = f"sample {split}:{number}"
        if split == "unlabelled":
            yield {"text": unlabelled_document(rng)}, place
        else:
            text, label = labelled_review(rng)
            yield {"text": text, "label": label}, place


def version() -> str:
    """Digits that change when the generator does."""
    sources = (Path(__file__), Path(sample_world.__file__))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:10]


def unlabelled_document(rng: random.Random) -> str:
    """3 to 12 sentences on one film; the writer's mood colours most of what is judged."""
    film, mood = pick(films(), rng), pick((-1, 1), rng)
    length = 3 + int(rng.random() * 10)
    aspects = pick_some(ASPECTS, len(ASPECTS), rng)
    sentences = [opening(film, rng)]
    for number in range(1, length):
        if rng.random() < 0.45:
            sentences.append(fact(film, rng))
        else:
            polarity = mood if rng.random() < 0.9 else -mood
            sentences.append(judgement(film, aspects[number % len(aspects)], polarity, rng))
    return " ".join(sentences)


def labelled_review(rng: random.Random) -> tuple[str, str]:
    """A review of 4 to 8 sentences and its label.

    Three in five reviews lean one way throughout; in the others praise and blame balance until the verdict.
    """
    film, mood = pick(films(), rng), pick((-1, 1), rng)
    mixed = rng.random() < 0.4
    if mixed:
        polarities = pick_some((1, -1, 1, -1) if rng.random() < 0.5 else (1, -1), 4, rng)
    else:
        polarities = [mood] * (2 + int(rng.random() * 3))
        if len(polarities) > 2 and rng.random() < 0.3:
            polarities[int(rng.random() * len(polarities))] = -mood
    aspects = pick_some(ASPECTS, len(polarities), rng)
    body = [judgement(film, aspect, polarity, rng) for aspect, polarity in zip(aspects, polarities, strict=True)]
    body.insert(int(rng.random() * (len(body) + 1)), fact(film, rng))
    closing = [verdict(film, mood, rng)] if mixed or rng.random() < 0.4 else []
    return " ".join([opening(film, rng), *body, *closing]), LABELS[mood > 0]


def opening(film: Film, rng: random.Random) -> str:
    """A first sentence that names the film."""
    templates = (
        "{title} is a {kind} by {director}.",
        "Last night we saw {title}, a {kind} with {lead}.",
        "{director} made {title} after a novel by {writer}.",
        "{title}, a {kind} set in {place}, came out this year.",
        "I watched {title} because of {lead}.",
    )
    return _filled(pick(templates, rng), film, rng)


def fact(film: Film, rng: random.Random) -> str:
    """A sentence about the film that judges nothing."""
    templates = (
        "{lead} plays a {role} in {place}.",
        "There is a scene with the {thing} and the {other_thing}.",
        "The {role} finds the {thing} in {place}.",
        "{composer} wrote the music for this {kind}.",
        "In {place} the {role} loses the {thing}.",
        "{director} shot the scene with the {thing} in one take.",
        "Like every {kind}, it has room for the {thing}.",
        "The {thing} belongs to the {role}, played by {lead}.",
        "Halfway through, the {role} returns to {place} for the {thing}.",
        "{writer} added the {thing} to the script.",
    )
    return _filled(pick(templates, rng), film, rng)


def judgement(film: Film, aspect: Aspect, polarity: int, rng: random.Random) -> str:
    """A sentence that, read to its end, judges an aspect of the film well (+1) or badly (-1)."""
    subject, other = _subject(film, aspect, rng), pick(pick(ASPECTS, rng).subjects, rng)
    here, there = phrase(aspect, polarity, rng), phrase(aspect, -polarity, rng)
    draw = rng.random()
    if draw < 0.50:
        templates = ("{subject} was {here}.", "I found {subject} {here}.", "To my mind {subject} was {here}.")
    elif draw < 0.72:
        there = phrase(None, -polarity, rng)
        templates = (
            "{other} was {there}, but {subject} was {here}.",
            "although {other} was {there}, {subject} was {here}.",
            "{subject} was {here}, although {other} was {there}.",
            "{other} was {there}; even so, {subject} was {here}.",
        )
    elif draw < 0.85:
        there = pick(_adjectives(aspect, -polarity, rng), rng)
        templates = (
            "I had expected {subject} to be {there}, and I was wrong.",
            "Friends called {subject} {there}, and I disagree.",
            "the critics thought {subject} {there}; they are mistaken.",
        )
    else:
        here = pick(_adjectives(aspect, polarity, rng), rng)
        templates = (
            "I had expected {subject} to be {here}, and I was right.",
            "Friends called {subject} {here}, and I agree.",
            "the critics thought {subject} {here}; so do I.",
        )
    return _sentence(pick(templates, rng).format(subject=subject, other=other, here=here, there=there))


def verdict(film: Film, polarity: int, rng: random.Random) -> str:
    """A closing sentence that settles a mixed review."""
    templates = (
        "All in all, {title} is {here}.",
        "In the end this {kind} is {here}.",
        "When all is said, I call it {here}.",
        "My verdict on {title}: {here}.",
    )
    text = pick(templates, rng).replace("{here}", phrase(None, polarity, rng))
    return _filled(text, film, rng)


def phrase(aspect: Aspect | None, polarity: int, rng: random.Random) -> str:
    """An adjective phrase of this polarity: plain, intensified, or the opposite negated."""
    draw = rng.random()
    if draw < 0.25:
        return f"{pick(NEGATIONS, rng)} {pick(_adjectives(aspect, -polarity, rng), rng)}"
    adjective = pick(_adjectives(aspect, polarity, rng), rng)
    return f"{pick(INTENSIFIERS, rng)} {adjective}" if draw < 0.50 else adjective


def _adjectives(aspect: Aspect | None, polarity: int, rng: random.Random) -> tuple[str, ...] | list[str]:
    if aspect is None or rng.random() < 0.5:
        return GOOD if polarity > 0 else BAD
    return aspect.good if polarity > 0 else aspect.bad


def _subject(film: Film, aspect: Aspect, rng: random.Random) -> str:
    subject, draw = pick(aspect.subjects, rng), rng.random()
    if draw < 0.25:
        return f"{subject} of {film.title}"
    if draw < 0.45:
        return f"{subject} in the scene with the {pick(film.things, rng)}"
    if draw < 0.60:
        return f"{subject} of this {film.kind}"
    return subject


def _filled(template: str, film: Film, rng: random.Random) -> str:
    things, number = pick_some(film.things, 2, rng), int(rng.random() * 2)
    return _sentence(
        template.format(
            title=film.title,
            kind=film.kind,
            director=film.director,
            writer=film.writer,
            composer=film.composer,
            lead=film.leads[number],
            role=film.roles[number],
            place=film.place,
            thing=things[0],
            other_thing=things[1],
        )
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
