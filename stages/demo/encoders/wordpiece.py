"""A WordPiece tokenizer in BERT's convention, trained on the demo's own texts."""

from collections.abc import Iterable

from tokenizers.trainers import WordPieceTrainer
from transformers import BertTokenizer

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_INSIDE = "##"


def train_wordpiece(
    texts: Iterable[str], vocabulary: int = 2800, max_length: int = 40
) -> BertTokenizer:
    """Lower-case word pieces, with `##` before those inside a word; every letter is a piece.

    Args:
        vocabulary: most tokens.
        max_length: what `truncation=True` cuts to, [SEP] kept.
    """
    texts = [text.replace("[SEP]", " ") for text in texts]
    # An untrained BertTokenizer supplies the normalizer and the splitting into words.
    backend = BertTokenizer().backend_tokenizer
    normalized = (backend.normalizer.normalize_str(text) for text in texts)
    letters = sorted(set("".join(normalized)) - {" "})
    backend.train_from_iterator(
        texts,
        WordPieceTrainer(
            vocab_size=vocabulary,
            # As in tokenizer.py: the trainer breaks ties by id, and would assign the letters ids in
            # the order of a hash map. As special tokens they get theirs beforehand.
            special_tokens=[*_SPECIAL, *letters, *(_INSIDE + letter for letter in letters)],
            show_progress=False,
        ),
    )
    return BertTokenizer(vocab=backend.get_vocab(), model_max_length=max_length)
