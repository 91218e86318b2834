"""A WordPiece tokenizer in BERT's convention, trained on the demo's own texts."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers.trainers import WordPieceTrainer
from transformers import BertTokenizer

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_INSIDE = "##"


def train_wordpiece(
    texts: Iterable[str], vocabulary: int = 2800, max_length: int = 40
) -> BertTokenizer:
    """Lower-case word pieces, `##` before those inside a word; every letter of `texts` is one.

    Parameters
    ----------
    vocabulary: tokens at most.
    max_length: what `truncation=True` cuts to, [SEP] kept.
    """
    texts = [text.replace("[SEP]", " ") for text in texts]
    # An untrained BertTokenizer lends its normalizer and its splitting into words.
    backend = BertTokenizer().backend_tokenizer
    normalized = (backend.normalizer.normalize_str(text) for text in texts)
    letters = sorted(set("".join(normalized)) - {" "})
    backend.train_from_iterator(
        texts,
        WordPieceTrainer(
            vocab_size=vocabulary,
            # As in demo_tokenizer: the trainer settles ties by number, and would number the letters
            # in the order of a hash map. Listed as special, they are numbered beforehand.
            special_tokens=[*_SPECIAL, *letters, *(_INSIDE + letter for letter in letters)],
            show_progress=False,
        ),
    )
    return BertTokenizer(vocab=backend.get_vocab(), model_max_length=max_length)
