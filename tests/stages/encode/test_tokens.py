"""Token ids of a long text: its beginning gives those of the whole, in the time of a short one."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Fast
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from stages.encode import tokens
from stages.encode.encoders.checkpoint import find_checkpoint
from stages.encode.tokens import Tokenizer
from tests.support.small_project import TEXTS, build_bert, build_clip
from tests.support.tiny_encoders import TOKENIZERS

MAX_TOKENS = 12
WORDS = (
    "the", "cat", "größe", "北京是首都", "it's", "1,000.5", "e\u0301", "\u1100\u1161", "🙂🙂",
    "<s>", "x.y", "longword" * 9,
)  # fmt: skip
BLANKS = [" ", "  ", "\n", "\t ", "\u00a0", "\u2028", ". ", "-"]


def trained(model, trainer, pre_tokenizer):
    """A tokenizer of the family of RoBERTa (byte pairs) or XLM-R (unigrams)."""
    fast = Fast(model)
    fast.normalizer = normalizers.NFKC()
    fast.pre_tokenizer = pre_tokenizer
    fast.train_from_iterator([*TEXTS, *WORDS], trainer)
    ends = [("<s>", fast.token_to_id("<s>")), ("</s>", fast.token_to_id("</s>"))]
    fast.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    base = tmp_path_factory.mktemp("tokenizers")
    special = {"special_tokens": ["<s>", "</s>", "<unk>"]}
    return [
        AutoTokenizer.from_pretrained(build_clip(base / "clip")),
        AutoTokenizer.from_pretrained(build_bert(base / "bert")),
        trained(
            models.BPE(), trainers.BpeTrainer(vocab_size=400, **special), pre_tokenizers.ByteLevel()
        ),
        trained(
            models.Unigram(), trainers.UnigramTrainer(unk_token="<unk>", **special),
            pre_tokenizers.Metaspace(),
        ),
        *(make() for name, make in TOKENIZERS.items() if name != "bert"),
    ]  # fmt: skip


def reading(tokenizer):
    ours = Tokenizer.__new__(Tokenizer)
    ours._tokenizer, ours.max_tokens, ours.pad = tokenizer, MAX_TOKENS, 0
    ours._vocabulary = len(tokenizer)
    return ours


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WORDS) | st.text(max_size=6), st.sampled_from(BLANKS))))
def test_a_beginning_has_the_whole_texts_first_tokens(tokenizers, pairs):
    texts = ["".join(f"{word}{blank}" for word, blank in pairs * times) for times in (1, 4)]
    first, tokens._FIRST = tokens._FIRST, 1  # characters a token, so that a short text is long
    try:
        for tokenizer in tokenizers:
            whole = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
            assert [row.tolist() for row in reading(tokenizer)(texts)] == whole
    finally:
        tokens._FIRST = first


def test_a_text_of_any_length_takes_no_longer_than_a_short_one(tmp_path):
    tokenizer = Tokenizer(find_checkpoint(str(build_clip(tmp_path / "clip"))), MAX_TOKENS)
    begun = time.perf_counter()
    (ids,) = tokenizer(["a word " * 3_000_000])  # half a minute, and gigabytes, as a whole
    assert time.perf_counter() - begun < 5
    assert ids.tolist() == tokenizer(["a word " * 30])[0].tolist()


def test_the_order_of_texts_stays(tmp_path):
    tokenizer = Tokenizer(find_checkpoint(str(build_clip(tmp_path / "clip"))), MAX_TOKENS)
    texts = ["a", " " * 5000 + "cat", "the " * 2000, "", "b" * 900, "c"] * 180
    assert len(texts) > tokens._BATCH
    alone = {text: tokenizer([text])[0].tolist() for text in set(texts)}
    assert [row.tolist() for row in tokenizer(texts)] == [alone[text] for text in texts]
