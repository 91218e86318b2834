"""From texts to token ids."""

from collections.abc import Sequence

import numpy as np

from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError, not_loaded

SEPARATOR = " [SEP] "


def joined(words: str, text: str) -> str:
    """`words [SEP] text` (section 3.1); the words alone where there is no text."""
    return f"{words}{SEPARATOR}{text}" if text else words


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
        positions = checkpoint.positions
        if positions is not None and max_tokens > positions:
            raise CheckpointError(
                f"{checkpoint.folder}: reads {positions} tokens of a text at most, "
                f"extract.max_tokens asks for {max_tokens}",
                f"--set extract.max_tokens={positions}",
            )
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                checkpoint.folder, trust_remote_code=False
            )
        except Exception as error:  # a damaged tokenizer.json raises nothing narrower
            raise not_loaded(
                checkpoint.folder,
                "the tokenizer",
                error,
                "download the folder again, or save its tokenizer there anew",
            ) from None
        self.max_tokens = max_tokens
        self.pad = self._tokenizer.pad_token_id or 0

    def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 ids of each text, specials included, at most `max_tokens` long."""
        if not texts:
            return []
        ids = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_tokens,
            padding=False,
            return_attention_mask=False,
        )["input_ids"]
        return [np.asarray(row, dtype=np.int32) for row in ids]
