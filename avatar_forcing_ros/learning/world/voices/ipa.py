"""IPA, as espeak-ng writes it, to the phones of visemes.py."""

from __future__ import annotations

import unicodedata

from avatar_forcing_ros.learning.world.phones import PHONES, Phone

_WHOLE = {
    "aɪ": "ay", "aʊ": "aw", "ɔɪ": "oy", "ɔø": "oy", "ɔʏ": "oy", "oʊ": "ow", "əʊ": "ow", "eɪ": "ey", "ɛɪ": "ey",
    "tʃ": "ch", "dʒ": "jh", "tɕ": "ch", "dʑ": "jh", "tʂ": "ch", "dʐ": "jh",
}  # fmt: skip
_LETTERS = {
    "i": "iy", "ɪ": "ih", "ɨ": "ih", "ᵻ": "ih", "ɩ": "ih", "e": "e", "ɛ": "eh", "æ": "ae", "a": "a", "ɐ": "ah", "ɑ": "aa",
    "ɒ": "ao", "ʌ": "ah", "ə": "ax", "ɚ": "er", "ɜ": "er", "ɝ": "er", "ɘ": "ax", "ɵ": "oe", "ɔ": "ao", "o": "o", "ɤ": "ax",
    "ʊ": "uh", "u": "uw", "ʉ": "uw", "ɯ": "ax", "y": "ue", "ʏ": "ue", "ø": "oe", "œ": "oe",
    "p": "p", "b": "b", "m": "m", "β": "bh", "ɸ": "bh", "f": "f", "v": "v", "ʋ": "v", "ɱ": "v", "w": "w", "ʍ": "w", "ɥ": "ue",
    "θ": "th", "ð": "dh", "t": "t", "d": "d", "n": "n", "l": "l", "ɫ": "l", "ɬ": "l", "s": "s", "z": "z", "ʈ": "t", "ɖ": "d",
    "ɳ": "n", "ɭ": "l", "ʂ": "sh", "ʐ": "zh", "ʃ": "sh", "ʒ": "zh", "ɕ": "sh", "ʑ": "zh", "ɧ": "sh", "ç": "y", "ʝ": "y",
    "j": "y", "ɲ": "ny", "ʎ": "ny", "c": "k", "ɟ": "g", "k": "k", "ɡ": "g", "g": "g", "ŋ": "ng", "ɴ": "ng", "q": "k",
    "x": "x", "χ": "x", "ɣ": "x", "ħ": "x", "h": "hh", "ɦ": "hh", "ʔ": "q",
    "ɹ": "r", "ɻ": "r", "r": "rr", "ɾ": "rr", "ʀ": "rr", "ʁ": "rr", "ɽ": "rr",
}  # fmt: skip
assert set(_WHOLE.values()) | set(_LETTERS.values()) <= set(PHONES)
_MARKS = "ːˑˈˌʲʰ͡-"
_BLIP = 0.05  # seconds; a shorter gap is the release of the phone before it


def _base(letter: str) -> str:
    """The letter without what is written above it: ã as a."""
    return letter if letter in _LETTERS else unicodedata.normalize("NFD", letter)[0]


def symbols(ipa: str) -> list[str]:
    """The phones of one IPA sound: one, or more where it is a cluster ("ts") or a diphthong of its own. Marks are
    skipped; [] when nothing is known."""
    plain = "".join(_base(c) for c in ipa if not unicodedata.combining(c) and c not in _MARKS)
    if plain in _WHOLE:
        return [_WHOLE[plain]]
    return [_LETTERS[c] for c in plain if c in _LETTERS]


def ipa_phones(events: list[tuple[str, float]], end: float) -> list[Phone]:
    """Phones without gaps from (IPA, start in seconds) pairs; the last one lasts until `end`. An empty IPA is a pause;
    one without a known letter belongs to the phone before it."""
    spoken = [(ipa, start) for ipa, start in events if not ipa.startswith("(")]  # "(en)" only tells the language
    phones: list[Phone] = []
    ends = [start for _, start in spoken[1:]] + [end]
    for (ipa, start), stop in zip(spoken, ends):
        if stop <= start:
            continue
        names = symbols(ipa)
        if not names:
            names = [phones[-1].symbol] if phones and (ipa or stop - start < _BLIP) else ["pau"]
        length = (stop - start) / len(names)
        for index, name in enumerate(names):
            begin = start + index * length
            if phones and phones[-1].symbol == name and not symbols(ipa):
                phones[-1] = Phone(name, phones[-1].start, stop)
            else:
                phones.append(Phone(name, begin, begin + length))
    if phones and phones[0].start > 0.0:
        phones.insert(0, Phone("pau", 0.0, phones[0].start))
    return phones
