"""A byte-level BPE tokenizer in CLIP's convention, trained on the demo's own texts."""

import json
from collections.abc import Iterable

from tokenizers import pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def train_tokenizer(
    texts: Iterable[str], vocabulary: int = 2800, max_length: int = 77
) -> CLIPTokenizer:
    """Lower-case byte pairs, with `</w>` at the end of a word; END ends and pads every text.

    As in OpenAI's vocabulary, every byte is a token with and without the suffix, so no text in any
    script has an unknown token (which would be END and end the text early). END has the highest
    id, so the two ways of finding it, by value and by maximum, agree.

    Args:
        vocabulary: most tokens: 512 bytes, merges, START and END.
        max_length: what `truncation=True` cuts to, END kept.
    """
    # An untrained CLIPTokenizer supplies the normalizer and the splitting into words.
    backend = CLIPTokenizer().backend_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    last_letters = [letter + _WORD_END for letter in letters]
    backend.train_from_iterator(
        texts,
        BpeTrainer(
            vocab_size=vocabulary - 2,
            # The trainer breaks ties by id, and assigns the last letters ids in the order of a hash
            # map, which differs between runs. As special tokens they get their ids beforehand.
            special_tokens=last_letters,
            initial_alphabet=letters,
            end_of_word_suffix=_WORD_END,
            show_progress=False,
        ),
    )
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    tokens = [*letters, *last_letters]
    tokens += [first + second for first, second in merges]
    # Two merges can give one token ("a b|c", "ab|c"): dict.fromkeys keeps the first.
    vocab = {token: i for i, token in enumerate(dict.fromkeys([*tokens, START, END]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=max_length)
