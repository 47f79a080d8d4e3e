"""The built-in sample: synthetic reviews of the films in `synthetic_world.py`.

It proves the machinery, not the method: the text is synthetic. Its sentiment has to be read, not counted:
praise is often a negated fault ("anything but dull"), the main clause outweighs the conceded one, hearsay is
confirmed or denied, and two labelled reviews in five are evenly mixed until their verdict.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from configs.errors import InputError
from tokenizer.corpus.synthetic_world import (
    ASPECTS,
    BAD,
    GOOD,
    INTENSIFIERS,
    NEGATIONS,
    Aspect,
    Film,
    films,
    pick,
    pick_some,
)

# In the digest of every run that reads the reviews. A test holds it to a hash of the reviews themselves: where that
# fails, the generator writes other text, and this needs a new value.
VERSION = "f22f144d84"
SIZES = {"unlabelled": 24_000, "train": 8_000, "validation": 1_000, "test": 2_000}
LABELS = ("negative", "positive")


def rows(split: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The documents of `unlabelled` (text alone), or of `train`, `validation` or `test` (text and label).

    Each is a function of its split and number alone, so that the splits never share a stream of randomness.

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


def unlabelled_document(rng: random.Random) -> str:
    """3 to 12 sentences on one film; the writer's mood colours most of what is judged, and the verdict."""
    film, mood = pick(films(), rng), pick((-1, 1), rng)
    count = 1 + int(rng.random() * 10)
    closes = count > 2 and rng.random() < 0.8
    count -= 2 * closes
    judged = [(place, mood if rng.random() < 0.95 else -mood) for place in _places(count, rng) if rng.random() < 0.85]
    facts = [(place, 0) for place in _places(count - len(judged), rng)]
    return _review(film, judged + facts, mood if closes else 0, rng)


def labelled_review(rng: random.Random) -> tuple[str, str]:
    """A review of 3 to 6 sentences and its label.

    Seven reviews in ten lean one way throughout; in the others praise and blame balance until the verdict.
    """
    film, mood = pick(films(), rng), pick((-1, 1), rng)
    mixed = rng.random() < 0.3
    if mixed:
        polarities = pick_some((1, -1), 2, rng)
    else:
        polarities = [mood] * (2 + int(rng.random() * 2))
        if len(polarities) > 2 and rng.random() < 0.3:
            polarities[int(rng.random() * len(polarities))] = -mood
    places = sorted(_places(len(polarities), rng))
    sentences = [opening(film, rng)]
    sentences += [judgement(film, place, polarity, rng) for place, polarity in zip(places, polarities, strict=True)]
    if mixed or rng.random() < 0.4:
        sentences.append(verdict(film, mood, rng))
    if rng.random() < 0.3:
        sentences.append(farewell(film, rng))
    return " ".join(sentences), LABELS[mood > 0]


def _places(count: int, rng: random.Random) -> list[int]:
    """Which aspects are spoken of: different ones as long as there are any."""
    order = pick_some(range(len(ASPECTS)), len(ASPECTS), rng)
    return [order[number % len(order)] for number in range(count)]


def _review(film: Film, body: list[tuple[int, int]], mood: int, rng: random.Random) -> str:
    """Opening, body in the order of its places (polarity 0 for a fact), and, where there is a mood, the verdict."""
    sentences = [opening(film, rng), makers(film, rng)]
    for place, polarity in sorted(body, key=lambda item: item[0]):
        if polarity:
            sentences.append(judgement(film, place, polarity, rng))
        else:
            sentences.append(fact(film, place / (len(ASPECTS) - 1), rng))
    if mood:
        sentences += [verdict(film, mood, rng), farewell(film, rng)]
    return " ".join(sentences)


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


def makers(film: Film, rng: random.Random) -> str:
    """A second sentence, on who made the film."""
    templates = (
        "It stars {lead} as a {role} and {other_lead} as a {other_role}.",
        "{writer} wrote it, and {lead} plays the {role}.",
        "The cast is led by {lead} and {other_lead}.",
        "{director} cast {lead} as the {role}.",
    )
    return _filled(pick(templates, rng), film, rng)


def fact(film: Film, time: float, rng: random.Random) -> str:
    """A sentence about the film that judges nothing, on its beginning (0), its middle or its end (1)."""
    early = (
        "{lead} plays a {role} in {place}.",
        "It begins in {place}, where the {role} finds the {thing}.",
        "{writer} added the {thing} to the script.",
        "Like every {kind}, it opens with the {thing}.",
    )
    middle = (
        "Halfway through, the {role} returns to {place} for the {thing}.",
        "{director} shot the scene with the {thing} in one take.",
        "Then the {role} loses the {thing}.",
        "Meanwhile {lead} hides the {thing} from the {other_role}.",
    )
    late = (
        "{composer} wrote the music for the scene with the {thing}.",
        "Near the end the {role} comes back with the {thing}.",
        "At last {lead} leaves {place} with the {thing}.",
        "The last shot shows the {thing} and the {other_thing}.",
    )
    return _filled(pick((early, middle, late)[min(2, int(3 * time))], rng), film, rng)


def judgement(film: Film, place: int, polarity: int, rng: random.Random) -> str:
    """A sentence that, read to its end, judges an aspect of the film well (+1) or badly (-1)."""
    aspect, neighbour = ASPECTS[place], ASPECTS[place - 1 if place else 1]
    subject, other = _subject(film, aspect, rng), pick(neighbour.subjects, rng)
    here, there = phrase(aspect, polarity, rng), phrase(aspect, -polarity, rng)
    draw = rng.random()
    if draw < 0.55:
        templates = ("{subject} was {here}.", "I found {subject} {here}.", "To my mind {subject} was {here}.")
    elif draw < 0.80:
        there = phrase(neighbour, -polarity, rng)
        templates = (
            "{other} was {there}, but {subject} was {here}.",
            "although {other} was {there}, {subject} was {here}.",
            "{subject} was {here}, although {other} was {there}.",
            "{other} was {there}; even so, {subject} was {here}.",
        )
    elif draw < 0.88:
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
            "the critics thought {subject} {here}; I think so too.",
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


def farewell(film: Film, rng: random.Random) -> str:
    """A last sentence that judges nothing."""
    templates = (
        "It is still shown in the cinemas of {place}.",
        "{title} runs for two hours.",
        "The disc comes out next spring.",
        "{director} is already at work on another {kind}.",
        "We took the late bus home.",
    )
    return _filled(pick(templates, rng), film, rng)


def phrase(aspect: Aspect | None, polarity: int, rng: random.Random) -> str:
    """An adjective phrase of this polarity: plain, intensified, two joined by "and", or the opposite negated.

    Joined adjectives agree, as they do in English (Hatzivassiloglou and McKeown 1997): the one hint at which
    words praise that can be had without labels and without reading far.
    """
    draw = rng.random()
    if draw < 0.12:
        return f"{pick(NEGATIONS, rng)} {pick(_adjectives(aspect, -polarity, rng), rng)}"
    adjective = pick(_adjectives(aspect, polarity, rng), rng)
    if draw < 0.35:
        return f"{pick(INTENSIFIERS, rng)} {adjective}"
    if draw < 0.75:
        return f"{adjective} and {pick(_adjectives(aspect, polarity, rng), rng)}"
    return adjective


def _adjectives(aspect: Aspect | None, polarity: int, rng: random.Random) -> Sequence[str]:
    if aspect is None or rng.random() < 0.5:
        return GOOD if polarity > 0 else BAD
    return aspect.good if polarity > 0 else aspect.bad


def _subject(film: Film, aspect: Aspect, rng: random.Random) -> str:
    subject, draw = pick(aspect.subjects, rng), rng.random()
    if draw < 0.25:
        return f"{subject} of {film.title}"
    if draw < 0.60:
        return f"{subject} in the scene with the {pick(film.things, rng)}"
    if draw < 0.75:
        return f"{subject} of this {film.kind}"
    if draw < 0.90:
        return f"{subject} around {film.leads[int(rng.random() * 2)]}"
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
            other_lead=film.leads[1 - number],
            role=film.roles[number],
            other_role=film.roles[1 - number],
            place=film.place,
            thing=things[0],
            other_thing=things[1],
        )
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
