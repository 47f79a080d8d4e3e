"""Vocabulary of the synthetic reviews: fictional films, people and places, and words of praise and criticism.

Written for this project; nothing refers to a real film or person.
"""

import functools
import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")

FILM_COUNT = 160


def pick(choices: Sequence[T], rng: random.Random) -> T:
    """One of `choices`. Only `random()` is used: Python guarantees a stable sequence for no other method."""
    return choices[int(rng.random() * len(choices))]


def pick_some(choices: Sequence[T], count: int, rng: random.Random) -> list[T]:
    """`count` distinct items of `choices`, in random order."""
    return sorted(choices, key=lambda _: rng.random())[:count]


class Aspect(NamedTuple):
    """An aspect that reviews judge: subjects in the singular, and adjectives used only for it."""

    subjects: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]


class Film(NamedTuple):
    """A fictional film, with the people, roles and things that its reviews mention."""

    title: str
    kind: str
    director: str
    writer: str
    composer: str
    leads: tuple[str, str]
    roles: tuple[str, str]
    place: str
    things: tuple[str, ...]


# In the order in which reviews mention them.
ASPECTS = (
    Aspect(
        ("the plot", "the story", "the script", "the central mystery"),
        ("gripping", "clever", "tight", "surprising", "layered", "ingenious"),
        ("predictable", "muddled", "thin", "contrived", "derivative", "incoherent"),
    ),
    Aspect(
        ("the acting", "the cast", "the lead performance", "the ensemble"),
        ("convincing", "nuanced", "heartfelt", "natural", "commanding", "understated"),
        ("wooden", "stiff", "hammy", "lifeless", "mannered", "unconvincing"),
    ),
    Aspect(
        ("the dialogue", "the writing", "the banter", "the narration"),
        ("witty", "sharp", "quotable", "sparkling", "honest", "playful"),
        ("clumsy", "stilted", "corny", "preachy", "trite", "laboured"),
    ),
    Aspect(
        ("the humour", "the comedy", "the slapstick", "the satire"),
        ("hilarious", "dry", "irreverent", "warm", "infectious", "deadpan"),
        ("forced", "crude", "stale", "juvenile", "smug", "tiresome"),
    ),
    Aspect(
        ("the direction", "the vision", "the tone", "the atmosphere"),
        ("confident", "daring", "thoughtful", "rich", "subtle", "masterful"),
        ("aimless", "pretentious", "timid", "cold", "heavy-handed", "incompetent"),
    ),
    Aspect(
        ("the photography", "the camera work", "the lighting", "the framing"),
        ("luminous", "crisp", "painterly", "elegant", "striking", "sumptuous"),
        ("murky", "shaky", "drab", "ugly", "flat", "washed out"),
    ),
    Aspect(
        ("the set design", "the costume work", "the staging", "the period detail"),
        ("lavish", "inventive", "meticulous", "graceful", "exquisite", "handsome"),
        ("cheap", "gaudy", "careless", "shoddy", "tacky", "amateurish"),
    ),
    Aspect(
        ("the music", "the score", "the soundtrack", "the main theme"),
        ("haunting", "stirring", "melodic", "hypnotic", "soaring", "delicate"),
        ("grating", "intrusive", "shrill", "syrupy", "monotonous", "deafening"),
    ),
    Aspect(
        ("the pacing", "the editing", "the rhythm", "the second act"),
        ("brisk", "assured", "fluid", "taut", "lively", "measured"),
        ("sluggish", "choppy", "uneven", "plodding", "bloated", "listless"),
    ),
    Aspect(
        ("the ending", "the finale", "the last scene", "the resolution"),
        ("satisfying", "moving", "earned", "poetic", "cathartic", "bold"),
        ("rushed", "hollow", "abrupt", "silly", "baffling", "unearned"),
    ),
)

GOOD = """
    superb wonderful brilliant excellent delightful terrific splendid marvellous remarkable impressive memorable
    charming engaging captivating enchanting rewarding outstanding magnificent compelling refreshing
""".split()
BAD = """
    dreadful terrible awful poor disappointing tedious atrocious miserable forgettable annoying dismal boring
    irritating wretched pathetic insufferable abysmal lousy unbearable clueless
""".split()

INTENSIFIERS = """
    very truly utterly deeply really thoroughly absolutely quite simply remarkably
""".split()
NEGATIONS = ("not", "never", "hardly", "by no means", "far from", "anything but", "not at all", "in no way")


class Kind(NamedTuple):
    """The words that belong to a kind of film."""

    things: tuple[str, ...]
    roles: tuple[str, ...]
    titles: tuple[str, ...]


def _kind(things: str, roles: str, titles: str) -> Kind:
    return Kind(*(tuple(words.split(", ")) for words in (things, roles, titles)))


KINDS = {
    "thriller": _kind(
        "ransom, alibi, safe, blackmail letter, getaway car, false passport, telephone booth, microfilm",
        "detective, informer, burglar, spy",
        "Alibi, Cipher, Suspect, Dossier, Motive, Witness",
    ),
    "romance": _kind(
        "wedding dress, love letter, dance hall, engagement ring, train platform, bouquet, first kiss, diary",
        "florist, heiress, pianist, suitor",
        "Kiss, Rose, Promise, Waltz, Summer, Heart",
    ),
    "western": _kind(
        "saloon, stagecoach, cattle drive, duel, gold claim, railway camp, revolver, canyon trail",
        "sheriff, rancher, outlaw, gunslinger",
        "Saddle, Canyon, Spur, Prairie, Bullet, Frontier",
    ),
    "space adventure": _kind(
        "airlock, star chart, distress signal, warp drive, moon base, robot, escape pod, reactor",
        "pilot, engineer, android, navigator",
        "Orbit, Comet, Planet, Galaxy, Nebula, Signal",
    ),
    "war drama": _kind(
        "trench, field hospital, ceasefire, convoy, medal, letter home, bombed bridge, tank",
        "sergeant, medic, deserter, colonel",
        "Battalion, Retreat, Trench, Armistice, Flag, Siege",
    ),
    "ghost story": _kind(
        "attic, seance, locked door, candle, old portrait, cellar, whisper, graveyard",
        "medium, widow, caretaker, exorcist",
        "Phantom, Crypt, Shadow, Haunting, Mirror, Tomb",
    ),
    "courtroom drama": _kind(
        "jury, cross-examination, missing file, oath, closing argument, appeal, plea bargain, bail hearing",
        "judge, prosecutor, lawyer, defendant",
        "Verdict, Trial, Testimony, Gavel, Oath, Appeal",
    ),
    "family comedy": _kind(
        "caravan, talking dog, birthday cake, holiday, school play, treehouse, goose, pillow fight",
        "grandmother, babysitter, uncle, schoolteacher",
        "Picnic, Puppy, Holiday, Cousin, Pudding, Playground",
    ),
    "sports film": _kind(
        "locker room, penalty, stadium, comeback, training camp, injury, trophy, relay race",
        "coach, goalkeeper, sprinter, boxer",
        "Champion, Marathon, Stadium, Knockout, Trophy, Team",
    ),
    "musical": _kind(
        "opening number, tap routine, chorus line, backstage row, duet, spotlight, encore, piano",
        "dancer, soprano, understudy, conductor",
        "Melody, Chorus, Cabaret, Ballad, Serenade, Rhythm",
    ),
}

TITLE_FIRST = """
    Crimson Silent Broken Golden Hidden Paper Winter Hollow Velvet Burning Distant Glass Iron Salt Amber Wooden
    Electric Borrowed Painted Sleeping Northern Copper Midnight Drowned
""".split()
PLACES = (
    "Velmora, Ostrand, Karsk, Tallowmere, Brindle Quay, Port Sillan, Dunreth, Marrowgate, Ellisport, Novarra, "
    "Gullhaven, Thornby, Saltwick, Harrowdale, Lindmoor, Castellan, Ferrow, Wexmoor"
).split(", ")
FIRST_NAMES = """
    Arlo Bettina Cyrus Dagny Emeric Fenna Gideon Halina Ivo Jorun Kester Linnea Marek Nadia Osric Petra Quillan
    Rosalind Stellan Tamsin Ulric Verena Willem Xenia Yorick Zelda Anselm Brona Corin Delphine
""".split()
NAME_STARTS = """
    Bal Cor Dren Fal Gor Hest Kal Lor Mar Nev Orl Pell Quen Rav Sten Tarr Ulv Vand Wex Yar
""".split()
NAME_ENDS = """
    dane ick ova ett mond sky berg wyn aro ley stad nik field rian hart ulla som tte quist vale
""".split()


@functools.cache
def films() -> tuple[Film, ...]:
    """All films; deterministic."""
    rng = random.Random("bertlet sample world")
    surnames = pick_some([a + b for a in NAME_STARTS for b in NAME_ENDS], len(NAME_STARTS) * 15, rng)
    kinds = sorted(KINDS)
    result = []
    for number in range(FILM_COUNT):
        kind = kinds[number % len(kinds)]
        words = KINDS[kind]
        # The 16 films of a kind have distinct titles: 24 first words, and 6 second words per kind.
        index_in_kind = number // len(kinds)
        first = TITLE_FIRST[(index_in_kind * 7 + number) % len(TITLE_FIRST)]
        people = [f"{pick(FIRST_NAMES, rng)} {pick(surnames, rng)}" for _ in range(5)]
        roles = pick_some(words.roles, 2, rng)
        result.append(
            Film(
                title=f"The {first} {words.titles[index_in_kind % len(words.titles)]}",
                kind=kind,
                director=people[0],
                writer=people[1],
                composer=people[2],
                leads=(people[3], people[4]),
                roles=(roles[0], roles[1]),
                place=pick(PLACES, rng).replace("_", " "),
                things=tuple(pick_some(words.things, 4, rng)),
            )
        )
    return tuple(result)
