"""The built-in sample: synthetic reviews of the films in `synthetic_world.py`.

The sample tests the code; scores on it say nothing about real text. Word counts are not enough for its sentiment:
praise is often a negated fault ("anything but dull"), the main clause outweighs the concessive clause, hearsay is
confirmed or denied, and 30 % of the labelled reviews are evenly mixed before the verdict.
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

# Part of the digest of every run that reads the reviews. A test pins it to a hash of the reviews: if that fails, the
# generated text has changed, and this needs a new value.
VERSION = "f22f144d84"
SIZES = {"unlabelled": 24_000, "train": 8_000, "validation": 1_000, "test": 2_000}
LABELS = ("negative", "positive")


def rows(split: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The documents of `unlabelled` (only text), or of `train`, `validation` or `test` (text and label).

    Each document is seeded by its split and number, so splits share no random stream.

    Raises:
        InputError: the split does not exist.
    """
    if split not in SIZES:
        raise InputError(f"corpus.split: the built-in sample has {', '.join(SIZES)}; not {split!r}")
    for number in range(SIZES[split]):
        rng = random.Random(f"bertlet sample {split} {number}")
        location = f"sample {split}:{number}"
        if split == "unlabelled":
            yield {"text": unlabelled_document(rng)}, location
        else:
            text, label = labelled_review(rng)
            yield {"text": text, "label": label}, location


def unlabelled_document(rng: random.Random) -> str:
    """3 to 12 sentences on one film; the mood sets the polarity of most judgements, and of the verdict."""
    film, mood = pick(films(), rng), pick((-1, 1), rng)
    count = 1 + int(rng.random() * 10)
    has_verdict = count > 2 and rng.random() < 0.8
    count -= 2 * has_verdict
    judgements = [
        (aspect, mood if rng.random() < 0.95 else -mood) for aspect in _aspects(count, rng) if rng.random() < 0.85
    ]
    facts = [(aspect, 0) for aspect in _aspects(count - len(judgements), rng)]
    return _review(film, judgements + facts, mood if has_verdict else 0, rng)


def labelled_review(rng: random.Random) -> tuple[str, str]:
    """A review of 3 to 6 sentences, and its label.

    70 % of the reviews have mostly one polarity; in the others, praise and criticism balance until the verdict.
    """
    film, mood = pick(films(), rng), pick((-1, 1), rng)
    mixed = rng.random() < 0.3
    if mixed:
        polarities = pick_some((1, -1), 2, rng)
    else:
        polarities = [mood] * (2 + int(rng.random() * 2))
        if len(polarities) > 2 and rng.random() < 0.3:
            polarities[int(rng.random() * len(polarities))] = -mood
    aspects = sorted(_aspects(len(polarities), rng))
    sentences = [opening(film, rng)]
    sentences += [judgement(film, aspect, polarity, rng) for aspect, polarity in zip(aspects, polarities, strict=True)]
    if mixed or rng.random() < 0.4:
        sentences.append(verdict(film, mood, rng))
    if rng.random() < 0.3:
        sentences.append(farewell(film, rng))
    return " ".join(sentences), LABELS[mood > 0]


def _aspects(count: int, rng: random.Random) -> list[int]:
    """Random indices of aspects; they repeat only after all have been used."""
    order = pick_some(range(len(ASPECTS)), len(ASPECTS), rng)
    return [order[number % len(order)] for number in range(count)]


def _review(film: Film, body: list[tuple[int, int]], mood: int, rng: random.Random) -> str:
    """Opening, body sorted by aspect (polarity 0: a fact), and a verdict unless `mood` is 0."""
    sentences = [opening(film, rng), makers(film, rng)]
    for aspect, polarity in sorted(body, key=lambda item: item[0]):
        if polarity:
            sentences.append(judgement(film, aspect, polarity, rng))
        else:
            sentences.append(fact(film, aspect / (len(ASPECTS) - 1), rng))
    if mood:
        sentences += [verdict(film, mood, rng), farewell(film, rng)]
    return " ".join(sentences)


def opening(film: Film, rng: random.Random) -> str:
    """The first sentence; it names the film."""
    templates = (
        "{title} is a {kind} by {director}.",
        "Last night we saw {title}, a {kind} with {lead}.",
        "{director} made {title} after a novel by {writer}.",
        "{title}, a {kind} set in {place}, came out this year.",
        "I watched {title} because of {lead}.",
    )
    return _fill(pick(templates, rng), film, rng)


def makers(film: Film, rng: random.Random) -> str:
    """The second sentence, on the cast and crew."""
    templates = (
        "It stars {lead} as a {role} and {other_lead} as a {other_role}.",
        "{writer} wrote it, and {lead} plays the {role}.",
        "The cast is led by {lead} and {other_lead}.",
        "{director} cast {lead} as the {role}.",
    )
    return _fill(pick(templates, rng), film, rng)


def fact(film: Film, time: float, rng: random.Random) -> str:
    """A neutral sentence on the beginning (`time` 0), middle or end (1) of the film."""
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
    return _fill(pick((early, middle, late)[min(2, int(3 * time))], rng), film, rng)


def judgement(film: Film, index: int, polarity: int, rng: random.Random) -> str:
    """A sentence with a positive (+1) or negative (-1) judgement of the aspect `ASPECTS[index]`."""
    aspect, neighbour = ASPECTS[index], ASPECTS[index - 1 if index else 1]
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
    return _capitalise(pick(templates, rng).format(subject=subject, other=other, here=here, there=there))


def verdict(film: Film, polarity: int, rng: random.Random) -> str:
    """A closing sentence with the overall judgement."""
    templates = (
        "All in all, {title} is {here}.",
        "In the end this {kind} is {here}.",
        "When all is said, I call it {here}.",
        "My verdict on {title}: {here}.",
    )
    text = pick(templates, rng).replace("{here}", phrase(None, polarity, rng))
    return _fill(text, film, rng)


def farewell(film: Film, rng: random.Random) -> str:
    """A neutral last sentence."""
    templates = (
        "It is still shown in the cinemas of {place}.",
        "{title} runs for two hours.",
        "The disc comes out next spring.",
        "{director} is already at work on another {kind}.",
        "We took the late bus home.",
    )
    return _fill(pick(templates, rng), film, rng)


def phrase(aspect: Aspect | None, polarity: int, rng: random.Random) -> str:
    """An adjective phrase of this polarity: plain, intensified, two joined by "and", or the opposite negated.

    Adjectives joined by "and" have the same polarity, as in English (Hatzivassiloglou and McKeown 1997): the only cue
    to the polarity of a word that needs neither labels nor long context.
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


def _fill(template: str, film: Film, rng: random.Random) -> str:
    things, index = pick_some(film.things, 2, rng), int(rng.random() * 2)
    return _capitalise(
        template.format(
            title=film.title,
            kind=film.kind,
            director=film.director,
            writer=film.writer,
            composer=film.composer,
            lead=film.leads[index],
            other_lead=film.leads[1 - index],
            role=film.roles[index],
            other_role=film.roles[1 - index],
            place=film.place,
            thing=things[0],
            other_thing=things[1],
        )
    )


def _capitalise(text: str) -> str:
    return text[0].upper() + text[1:]
