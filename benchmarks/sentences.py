"""Made features that lie as sentence embeddings do, in any number: themes, topics, own words.

Of unit length; a few directions carry most of the variance; topics differ in size and in width, so
that some mentions have hundreds of neighbors and some have none.
"""

from __future__ import annotations

import numpy as np

THEME, TOPIC, OWN = 0.25, 0.35, 0.40
"""Shares of the square."""
MENTIONS_A_TOPIC, TOPICS_A_THEME = 25, 40
DECAY = 0.3
"""Coordinate k deviates by k^-DECAY."""
ROWS = 16_384


def sentence_like(n: int, d: int = 512, seed: int = 0) -> np.ndarray:
    """Features (n, d), float32."""
    rng = np.random.default_rng(seed)
    spread = np.arange(1, d + 1, dtype=np.float32) ** -DECAY
    spread /= np.linalg.norm(spread)

    def normal(rows: int) -> np.ndarray:
        return rng.standard_normal((rows, d), dtype=np.float32) * spread

    topics = max(2, n // MENTIONS_A_TOPIC)
    themes = normal(max(2, topics // TOPICS_A_THEME))
    theme_of = rng.integers(len(themes), size=topics)
    centres = np.sqrt(THEME) * themes[theme_of] + np.sqrt(TOPIC) * normal(topics)
    share = rng.pareto(3.0, topics) + 0.2
    topic_of = rng.choice(topics, n, p=share / share.sum())
    width = rng.uniform(0.85, 1.1, topics).astype(np.float32) * np.float32(np.sqrt(OWN))
    x = np.empty((n, d), np.float32)
    for start in range(0, n, ROWS):
        topic = topic_of[start : start + ROWS]
        block = centres[topic] + width[topic, None] * normal(len(topic))
        x[start : start + ROWS] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return x
