"""A built-in corpus of generated reviews, so that the demo has data without a download.

Praise and blame words occur in both classes: negation ("far from boring") turns a word round,
and in a contrast ("although the plot was clever, ...") only one of two clauses decides the label.
A model must therefore read the order of the words; counting them is not enough.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import Literal, NamedTuple, TypeVar

LABELS = ("negative", "positive")

_SEED = 20240229
_VALIDATION_ROWS = 2_000
_TRAIN_ROWS = 12_000
# Shares that set how hard the task is: more of either brings counting words closer to chance.
_NEGATED_SHARE = 0.25
_CONTRAST_SHARE = 0.25
_AGREEMENT_SHARE = 0.25

_Item = TypeVar("_Item")
_Review = tuple[str, int]


class _Topic(NamedTuple):
    """Things that share adjectives; `adjectives` is indexed by label."""

    things: tuple[str, ...]
    adjectives: tuple[tuple[str, ...], tuple[str, ...]]


class _Setting(NamedTuple):
    """A place or an object under review: neutral opening sentences and what may be judged."""

    openers: tuple[str, ...]
    topics: tuple[_Topic, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split("|"))


_FILM = _Topic(
    _words(
        "acting plot script story dialogue ending opening film movie sequel cast camerawork "
        "soundtrack finale premise thriller comedy drama romance pacing"
    ),
    (
        _words("dull boring predictable wooden tedious clumsy shallow lifeless silly tiresome"),
        _words("gripping moving funny clever witty thoughtful original lively tender graceful"),
    ),
)
_FOOD = _Topic(
    _words(
        "soup pasta fish curry bread salad steak pizza cake dessert breakfast coffee risotto "
        "chicken sauce rice starter stew pie lunch"
    ),
    (
        _words("bland stale greasy soggy overcooked tasteless cold salty watery dry"),
        _words("delicious tasty fresh tender flavourful juicy fragrant appetising crisp rich"),
    ),
)
_SERVICE = _Topic(
    _words(
        "waiter waitress service staff chef manager host receptionist owner bartender porter "
        "cook team welcome"
    ),
    (
        _words("rude careless grumpy unhelpful impatient arrogant clueless hostile lazy gloomy"),
        _words("friendly attentive polite helpful patient cheerful kind warm courteous gracious"),
    ),
)
_ROOM = _Topic(
    _words(
        "room bathroom lobby balcony pool garden suite hotel bedroom lounge terrace spa gym "
        "kitchen hallway"
    ),
    (
        _words("dirty cramped shabby damp smelly dusty chilly dingy neglected dreary"),
        _words("clean spacious cosy bright elegant comfortable peaceful spotless airy tidy"),
    ),
)
_DEVICE = _Topic(
    _words(
        "phone laptop screen keyboard battery camera speaker charger tablet printer headset "
        "vacuum blender kettle toaster watch router mouse monitor software"
    ),
    (
        _words("flimsy noisy sluggish fragile unreliable faulty useless awkward buggy cheap"),
        _words("sturdy reliable handy fast durable responsive useful practical quick sleek"),
    ),
)

_SETTINGS = (
    _Setting(_phrases("We saw it on a Friday|I watched it twice|I rented it in May"), (_FILM,)),
    _Setting(_phrases("We went there for lunch|We ate here on Sunday"), (_FOOD, _SERVICE)),
    _Setting(_phrases("We stayed for three nights|I was there for work"), (_ROOM, _SERVICE)),
    _Setting(_phrases("I bought it in March|I use it every day at work"), (_DEVICE,)),
)

# Words that suit any topic, indexed by label like the adjectives of a topic.
_ANY_ADJECTIVES = (
    _words("bad terrible awful poor dreadful disappointing horrible mediocre annoying lousy"),
    _words("good wonderful excellent superb lovely great impressive charming delightful splendid"),
)
_VERDICTS = (
    _phrases(
        "a mess|a disaster|a let-down|a disappointment|a failure|an ordeal|an embarrassment|"
        "a nightmare|a mistake|a joke"
    ),
    _phrases(
        "a triumph|a delight|a joy|a success|a gem|a treat|a pleasure|an inspiration|"
        "a revelation|a winner"
    ),
)
_QUALITIES = (
    _phrases("its faults|all the problems|its rough edges|many weaknesses|the usual errors"),
    _phrases("its charm|all the praise|its good looks|many strengths|the usual polish"),
)
_DEGREES = _words("very really truly rather quite simply utterly thoroughly surprisingly")

# The adjectives of these clauses mean what they say, even next to "not", "never" or "nobody".
_PLAIN_CLAUSES = _phrases(
    "{thing} was {adjective}|{thing} was {degree} {adjective}|{thing} was {degree} {adjective}|"
    "{thing} was {adjective} and {other}|{thing} was both {adjective} and {other}|"
    "{thing} was not only {adjective} but {other}|{thing} could not have been more {adjective}|"
    "{thing} was nothing if not {adjective}|{thing} was {verdict}|"
    "{thing} turned out to be {verdict}|{thing} never stopped being {adjective}|"
    "{thing} felt {adjective} from start to finish|everyone found {thing} {degree} {adjective}|"
    "there was something {adjective} about {thing}|nobody could deny that {thing} was {adjective}"
)
# These turn their adjectives round.
_NEGATED_CLAUSES = _phrases(
    "{thing} was not {adjective} at all|{thing} was never {adjective}|"
    "{thing} was far from {adjective}|{thing} was anything but {adjective}|"
    "{thing} was hardly {verdict}|{thing} was by no means {adjective}|"
    "{thing} was neither {adjective} nor {other}|nobody could call {thing} {adjective}|"
    "there was nothing {adjective} about {thing}|one would not call {thing} {degree} {adjective}|"
    "no one found {thing} {adjective}|it is wrong to call {thing} {verdict}|"
    "{thing} was not {verdict} by any means|nobody would claim that {thing} was {adjective}"
)

_AGREEMENTS = _phrases(
    "{main}, and {more}|{main}, and what is more, {more}|{main}; {more}|{main}, just as {more}"
)
# `main` decides the label, `against` says the opposite and is outweighed.
_CONTRASTS = _phrases(
    "{against}, but {main}|{against}, but {main}|{against}, yet {main}|{against}; still, {main}|"
    "although {against}, {main}|{main}, although {against}|even though {against}, {main}|"
    "{main}, even though {against}|while {against}, {main}|despite {quality}, {main}|"
    "{main} despite {quality}|critics said that {against}, but {main}|"
    "I expected {opposite}, but {main}|some say that {against}, but in truth {main}"
)
_REMARKS = _phrases("to be honest|in my opinion|for me|all in all|in short|as I see it")


def _pick(rng: Random, items: tuple[_Item, ...]) -> _Item:
    # Only random() is promised to stay the same across Python versions; choice() is not.
    return items[int(rng.random() * len(items))]


def _pick_two(rng: Random, items: tuple[_Item, ...]) -> tuple[_Item, _Item]:
    first = int(rng.random() * len(items))
    second = (first + 1 + int(rng.random() * (len(items) - 1))) % len(items)
    return items[first], items[second]


def _clause(rng: Random, topic: _Topic, thing: str, label: int) -> str:
    """Return a judgement of `thing` that means `label`, in plain or in negated words."""
    negated = rng.random() < _NEGATED_SHARE
    wording = 1 - label if negated else label
    adjectives = topic.adjectives[wording] + _ANY_ADJECTIVES[wording]
    adjective, other = _pick_two(rng, adjectives)
    return _pick(rng, _NEGATED_CLAUSES if negated else _PLAIN_CLAUSES).format(
        thing=f"the {thing}",
        adjective=adjective,
        other=other,
        degree=_pick(rng, _DEGREES),
        verdict=_pick(rng, _VERDICTS[wording]),
    )


def _judgement(rng: Random, setting: _Setting, label: int) -> str:
    """Return one clause, two that agree, or two that contrast; the whole means `label`."""
    subjects = tuple((topic, thing) for topic in setting.topics for thing in topic.things)
    first, second = _pick_two(rng, subjects)
    main = _clause(rng, *first, label)
    shape = rng.random()
    if shape < _CONTRAST_SHARE:
        return _pick(rng, _CONTRASTS).format(
            main=main,
            against=_clause(rng, *second, 1 - label),
            quality=_pick(rng, _QUALITIES[1 - label]),
            opposite=_pick(rng, _VERDICTS[1 - label]),
        )
    if shape < _CONTRAST_SHARE + _AGREEMENT_SHARE:
        return _pick(rng, _AGREEMENTS).format(main=main, more=_clause(rng, *second, label))
    return main


def _review(rng: Random, label: int) -> str:
    """Return one review in one or two sentences, some with neutral words around the judgement."""
    setting = _pick(rng, _SETTINGS)
    sentence = _judgement(rng, setting, label)
    if rng.random() < 0.4:
        sentence = sentence.replace(" was ", " is ")
    if rng.random() < 0.2:
        sentence = f"{_pick(rng, _REMARKS)}, {sentence}"
    sentence = f"{sentence[0].upper()}{sentence[1:]}."
    if rng.random() < 0.2:
        sentence = f"{_pick(rng, setting.openers)}. {sentence}"
    return sentence


@lru_cache(maxsize=1)
def _all_reviews() -> tuple[_Review, ...]:
    """Return the rows of both splits: labels alternate and no text comes twice."""
    rng = Random(_SEED)  # noqa: S311 - repeatable sentences, no secrets
    rows: dict[str, int] = {}
    while len(rows) < _VALIDATION_ROWS + _TRAIN_ROWS:
        label = len(rows) % 2
        rows.setdefault(_review(rng, label), label)
    return tuple(rows.items())


def reviews(split: Literal["train", "validation"]) -> list[_Review]:
    """Return the (text, label) rows of a split; a label is an index into `LABELS`."""
    rows = _all_reviews()
    if split == "validation":
        return list(rows[:_VALIDATION_ROWS])
    if split == "train":
        return list(rows[_VALIDATION_ROWS:])
    raise ValueError(f"unknown split {split!r}: use 'train' or 'validation'")
