"""From texts to token ids."""

import re
import sys
from collections.abc import Sequence

import numpy as np

from cache.strict import short
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError, not_loaded
from stages.encode.encoders.models import TEXT_MODELS

SEPARATOR = " [SEP] "

_FIRST = 64
"""Characters a token that are read at first: more than ten times those of common text."""
_BATCH = 1024
"""Texts that the tokenizer holds in its own form at once."""
_SAVE = "download the folder again, or save its tokenizer there anew"
_WORD_END = re.compile(r"\w(?=[ \n\t])")


def joined(words: str, text: str) -> str:
    """`words [SEP] text` (section 3.1); the words alone where there is no text."""
    return f"{words}{SEPARATOR}{text}" if text else words


def alone(words: str, sentence: str) -> str:
    """A mention's sentence by itself; its words where it has none."""
    return sentence or words


class Tokenizer:
    """A checkpoint's tokenizer; it cuts at `max_tokens` and keeps the special tokens at both ends.

    [SEP] is BERT's own token; CLIP's tokenizer splits it into byte pairs, as in the peers.

    Raises:
        CheckpointError: the folder holds no tokenizer, or one that transformers cannot load; the
            model has no positions for `max_tokens`.
    """

    def __init__(self, checkpoint: Checkpoint, max_tokens: int) -> None:
        from transformers import AutoTokenizer

        checkpoint.require_tokenizer()
        _refuse_own_code(checkpoint)
        positions, self._vocabulary = _limits(checkpoint)
        if max_tokens > positions:
            raise CheckpointError(
                f"{checkpoint.folder}: reads {positions} tokens of a text at most, "
                f"extract.max_tokens asks for {max_tokens}",
                f"--set extract.max_tokens={positions}",
            )
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                checkpoint.folder, trust_remote_code=False, local_files_only=True
            )
        except Exception as error:  # a damaged tokenizer.json raises nothing narrower
            raise not_loaded(checkpoint.folder, "the tokenizer", error, _SAVE) from None
        self._folder = checkpoint.folder
        self.max_tokens = max_tokens
        self.pad = self._tokenizer.pad_token_id or 0
        if self.pad >= self._vocabulary:
            raise self._unknown(self.pad)

    def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text, specials included, at most `max_tokens` long.

        Of a long text only a beginning is read, as much as gives `max_tokens`: tokenizers work the
        whole of it up before they cut, at 200 bytes and 2 microseconds a character.
        """
        found: list[np.ndarray] = [np.zeros(0, np.int32)] * len(texts)
        waiting, characters = list(range(len(texts))), _FIRST * self.max_tokens
        while waiting:
            parts = [_beginning(texts[i], characters) for i in waiting]
            ids = [
                row
                for first in range(0, len(parts), _BATCH)
                for row in self._ids(parts[first : first + _BATCH])
            ]
            left = []
            for i, part, row in zip(waiting, parts, ids, strict=True):
                if len(part) < len(texts[i]) and len(row) < self.max_tokens:
                    left.append(i)
                if max(row, default=0) >= self._vocabulary:
                    raise self._unknown(max(row))
                found[i] = np.asarray(row, dtype=np.int32)
            waiting, characters = left, characters * 8
        return found

    def _ids(self, texts: list[str]) -> list[list[int]]:
        try:
            ids: list[list[int]] = self._tokenizer(
                texts,
                truncation=True,
                max_length=self.max_tokens,
                padding=False,
                return_attention_mask=False,
            )["input_ids"]
        except Exception as error:  # one that lacks its own unknown token raises nothing narrower
            raise not_loaded(self._folder, "the ids of a text", error, _SAVE) from None
        return ids

    def _unknown(self, token: int) -> CheckpointError:
        # A number that no vocabulary has may be beyond what the library counts with.
        word = self._tokenizer.convert_ids_to_tokens(token) if token < 2**31 else "no word"
        return CheckpointError(
            f"{self._folder}: its tokenizer makes the token {token} ({short(word)}), its model has "
            f"{self._vocabulary}",
            "take tokenizer and weights from one checkpoint",
        )


def _limits(checkpoint: Checkpoint) -> tuple[int, int]:
    """Tokens of a text that the model has positions for, and the size of its vocabulary.

    What config.json leaves out is the library's default for the kind of model.
    """
    from transformers import CONFIG_MAPPING

    none = sys.maxsize
    if checkpoint.model_type not in CONFIG_MAPPING:  # of a family that the library lacks
        said = checkpoint.config
        return said.get("max_position_embeddings") or none, said.get("vocab_size") or none
    try:
        kind = CONFIG_MAPPING[checkpoint.model_type]
        config = kind.from_pretrained(checkpoint.folder, local_files_only=True).get_text_config()
    except Exception as error:  # what does not fit together raises nothing narrower
        raise not_loaded(
            checkpoint.folder, "the configuration", error, "correct config.json"
        ) from None
    model = TEXT_MODELS.get(checkpoint.model_type)
    first = 0 if model is None else model.first(config)
    positions = getattr(config, "max_position_embeddings", None)
    return positions - first if positions else none, getattr(config, "vocab_size", None) or none


def _refuse_own_code(checkpoint: Checkpoint) -> None:
    """A tokenizer whose class transformers lacks would be read by a class that it was not made
    for."""
    import transformers

    said = checkpoint.tokenizer
    if said.get("auto_map") and not hasattr(transformers, said.get("tokenizer_class") or ""):
        raise CheckpointError(
            f"{checkpoint.folder / 'tokenizer_config.json'}: the tokenizer needs code of its own "
            "(auto_map), and code of a checkpoint is never run",
            "take a checkpoint whose tokenizer_class transformers has itself",
        )


def _beginning(text: str, characters: int) -> str:
    """At least so many characters, up to a blank behind a word: no tokenizer of the families at
    hand makes one token of both, so a beginning's tokens are the first ones of the whole text."""
    if len(text) <= characters:
        return text
    end = _WORD_END.search(text, characters)
    return text if end is None else text[: end.start() + 1]
