"""Texts that a browser and Python have to read alike."""

import numpy as np

ODD = [
    "",
    " \t\n ",
    "[SEP] the film [CLS][MASK] was good",
    "naïve café — “quoted” don't",
    "こんにちは 𠀀𠀁 漢字",
    "नमस्ते दुनिया می‌خواهم",
    "שלום עולם, مرحبا",
    "😀👨‍👩‍👧 ☂️ good",
    "one\ttwo\r\nthree\u00a0x\u200by\ufeffz\u0085v\u2028u",
    "½ ² Ⅷ İstanbul ΣΑΣ ẞ ﬁne x_y __z__",
    "a" * 300,
    "e\u0301 q\u0308 각 \u0001\u001c\u001d good",
]
LONG = " ".join(f"the {thing} was {word}." for thing in ("film", "plot", "cast") for word in ("good", "dull") * 80)


def texts_like_those_of_training(count: int) -> list[str]:
    words = "the film plot cast was good dull lovely awful and but not so ends great poor".split()
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, rng.integers(1, 40))) for _ in range(count)]
