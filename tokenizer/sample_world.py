"""The made-up world of the built-in sample: its films, people, places and the words that judge them.

Written for this project; nothing in it refers to a real film or person.
"""

import functools
import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")

FILM_COUNT = 160


def pick(choices: Sequence[T], rng: random.Random) -> T:
    """One of `choices`; by `random()` alone, the one method whose sequence Python promises to keep."""
    return choices[int(rng.random() * len(choices))]


def pick_some(choices: Sequence[T], count: int, rng: random.Random) -> list[T]:
    """`count` different ones of `choices`, in random order."""
    return sorted(choices, key=lambda _: rng.random())[:count]


class Aspect(NamedTuple):
    """Something a review judges: subjects in the singular, and the adjectives that suit it alone."""

    subjects: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]


class Film(NamedTuple):
    """One made-up film: what its reviews keep coming back to."""

    title: str
    kind: str
    director: str
    writer: str
    composer: str
    leads: tuple[str, str]
    roles: tuple[str, str]
    place: str
    things: tuple[str, ...]


ASPECTS = (
    Aspect(
        ("the acting", "the cast", "the lead performance", "the ensemble"),
        ("convincing", "nuanced", "heartfelt", "natural", "commanding", "understated"),
        ("wooden", "stiff", "hammy", "lifeless", "mannered", "unconvincing"),
    ),
    Aspect(
        ("the plot", "the story", "the script", "the central mystery"),
        ("gripping", "clever", "tight", "surprising", "layered", "ingenious"),
        ("predictable", "muddled", "thin", "contrived", "derivative", "incoherent"),
    ),
    Aspect(
        ("the music", "the score", "the soundtrack", "the main theme"),
        ("haunting", "stirring", "melodic", "hypnotic", "soaring", "delicate"),
        ("grating", "intrusive", "shrill", "syrupy", "monotonous", "deafening"),
    ),
    Aspect(
        ("the photography", "the camera work", "the lighting", "the framing"),
        ("luminous", "crisp", "painterly", "elegant", "striking", "sumptuous"),
        ("murky", "shaky", "drab", "ugly", "flat", "washed out"),
    ),
    Aspect(
        ("the dialogue", "the writing", "the banter", "the narration"),
        ("witty", "sharp", "quotable", "sparkling", "honest", "playful"),
        ("clumsy", "stilted", "corny", "preachy", "trite", "laboured"),
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
    Aspect(
        ("the humour", "the comedy", "the slapstick", "the satire"),
        ("hilarious", "dry", "irreverent", "warm", "infectious", "deadpan"),
        ("forced", "crude", "stale", "juvenile", "smug", "tiresome"),
    ),
    Aspect(
        ("the set design", "the costume work", "the staging", "the period detail"),
        ("lavish", "inventive", "meticulous", "graceful", "exquisite", "handsome"),
        ("cheap", "gaudy", "careless", "shoddy", "tacky", "amateurish"),
    ),
    Aspect(
        ("the direction", "the vision", "the tone", "the atmosphere"),
        ("confident", "daring", "thoughtful", "rich", "subtle", "masterful"),
        ("aimless", "pretentious", "timid", "cold", "heavy-handed", "incompetent"),
    ),
)

GOOD = (
    "superb wonderful brilliant excellent delightful terrific splendid marvellous remarkable impressive "
    "memorable charming engaging captivating enchanting rewarding outstanding magnificent compelling refreshing"
).split()
BAD = (
    "dreadful terrible awful poor disappointing tedious atrocious miserable forgettable annoying "
    "dismal boring irritating wretched pathetic insufferable abysmal lousy unbearable clueless"
).split()

INTENSIFIERS = "very truly utterly deeply really thoroughly absolutely quite simply remarkably".split()
NEGATIONS = ("not", "never", "hardly", "by no means", "far from", "anything but", "not at all", "in no way")

KINDS: dict[str, tuple[str, ...]] = {
    "thriller": ("ransom", "alibi", "safe", "witness", "blackmail", "getaway car", "false passport", "telephone booth"),
    "romance": ("wedding", "love letter", "dance hall", "engagement ring", "train platform", "bouquet", "rival", "kiss"),
    "western": ("saloon", "sheriff", "stagecoach", "cattle drive", "duel", "gold claim", "railway camp", "outlaw gang"),
    "space adventure": ("airlock", "captain's log", "distress signal", "alien fleet", "moon base", "robot", "warp drive", "crew"),
    "war drama": ("trench", "field hospital", "ceasefire", "convoy", "deserter", "medal", "letter home", "bombed bridge"),
    "ghost story": ("attic", "seance", "locked door", "candle", "old portrait", "cellar", "whisper", "graveyard"),
    "courtroom drama": ("jury", "verdict", "cross-examination", "missing file", "judge", "oath", "prosecutor", "appeal"),
    "family comedy": ("caravan", "grandmother", "talking dog", "birthday cake", "holiday", "school play", "neighbour", "goose"),
    "sports film": ("locker room", "penalty", "old coach", "stadium", "comeback", "training camp", "injury", "trophy"),
    "musical": ("opening number", "tap routine", "chorus", "backstage", "duet", "understudy", "spotlight", "encore"),
}

TITLE_FIRST = (
    "Crimson Silent Broken Golden Hidden Paper Winter Hollow Velvet Burning Distant Glass Iron Salt Amber Wooden "
    "Electric Borrowed Painted Sleeping Northern Copper Midnight Drowned"
).split()
TITLE_SECOND = (
    "Harbour Orchard Mirror Lantern Compass Garden Bridge Letter Meadow Crown River Staircase Window Feather Engine "
    "Island Market Shadow Anthem Ladder Kingdom Parade Tower Season"
).split()
PLACES = (
    "Velmora Ostrand Karsk Tallowmere Brindle Quay Port Sillan Dunreth Marrowgate Ellisport Novarra Gullhaven Thornby "
    "Saltwick Harrowdale Lindmoor Castellan Ferrow Wexmoor"
).replace("Brindle Quay", "Brindle_Quay").replace("Port Sillan", "Port_Sillan").split()
FIRST_NAMES = (
    "Arlo Bettina Cyrus Dagny Emeric Fenna Gideon Halina Ivo Jorun Kester Linnea Marek Nadia Osric Petra Quillan "
    "Rosalind Stellan Tamsin Ulric Verena Willem Xenia Yorick Zelda Anselm Brona Corin Delphine"
).split()
NAME_STARTS = "Bal Cor Dren Fal Gor Hest Kal Lor Mar Nev Orl Pell Quen Rav Sten Tarr Ulv Vand Wex Yar".split()
NAME_ENDS = "dane ick ova ett mond sky berg wyn aro ley stad nik field rian hart ulla som tte quist vale".split()
ROLES = (
    "smuggler widow detective schoolteacher pilot gardener violinist baker soldier nurse heiress mechanic lighthouse-keeper "
    "journalist priest gambler inventor translator ferryman clockmaker"
).split()


@functools.cache
def films() -> tuple[Film, ...]:
    """The films of the world, the same at every call."""
    rng = random.Random("bertlet sample world")
    titles = pick_some([f"The {a} {b}" for a in TITLE_FIRST for b in TITLE_SECOND], FILM_COUNT, rng)
    surnames = pick_some([a + b for a in NAME_STARTS for b in NAME_ENDS], len(NAME_STARTS) * 15, rng)
    kinds = sorted(KINDS)
    made = []
    for number, title in enumerate(titles):
        kind = kinds[number % len(kinds)]
        people = [f"{pick(FIRST_NAMES, rng)} {pick(surnames, rng)}" for _ in range(5)]
        roles = pick_some(ROLES, 2, rng)
        made.append(
            Film(
                title=title,
                kind=kind,
                director=people[0],
                writer=people[1],
                composer=people[2],
                leads=(people[3], people[4]),
                roles=(roles[0], roles[1]),
                place=pick(PLACES, rng).replace("_", " "),
                things=tuple(pick_some(KINDS[kind], 4, rng)),
            )
        )
    return tuple(made)
