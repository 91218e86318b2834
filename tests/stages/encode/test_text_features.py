import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel, CLIPModel

from cache.errors import MelovError
from stages.encode.encoders.bert_vit import text_pooling
from stages.encode.encoders.checkpoint import CheckpointError, find_checkpoint
from stages.encode.encoders.encoder import Encoder, pad_ids
from stages.encode.features import encode_texts
from stages.encode.tokens import Tokenizer, joined
from tests.support.small_project import TEXTS, build_bert

Open = Callable[..., Encoder]
MAX_TOKENS = 40
CPU = torch.device("cpu")


def tokenized(folder: Path, texts: list[str], max_tokens: int = MAX_TOKENS) -> list[np.ndarray]:
    return Tokenizer(find_checkpoint(str(folder)), max_tokens)(texts)


def encoded(encoder: Encoder, rows: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Global features, and the real tokens' of each text, of one padded batch."""
    ids, mask = pad_ids(rows, 0, CPU)
    pooled, local = encoder.encode_texts(ids, mask)
    lengths = [len(row) for row in rows]
    return pooled.float().numpy(), [
        tokens[:n].float().numpy() for tokens, n in zip(local, lengths, strict=True)
    ]


def all_close(ours: np.ndarray, reference: torch.Tensor) -> None:
    np.testing.assert_allclose(ours, reference.numpy(), atol=2e-6, rtol=1e-5)


@torch.inference_mode()
def test_a_clip_text_is_the_projection_of_its_last_real_token(clip: Path, opened: Open):
    model = CLIPModel.from_pretrained(clip).eval()
    tokenizer = AutoTokenizer.from_pretrained(clip)
    texts = [text for text in TEXTS if "<|" not in text]
    pooled, tokens = encoded(opened(clip), tokenized(clip, texts))
    for i, text in enumerate(texts):
        ids = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        alone = model.text_model(input_ids=ids["input_ids"])  # no padding, no mask
        all_close(tokens[i], alone.last_hidden_state[0])
        all_close(pooled[i], alone.last_hidden_state[0, -1] @ model.text_projection.weight.T)
        all_close(pooled[i], model.text_projection(alone.pooler_output)[0])
        features = model.get_text_features(**ids)  # a tensor until transformers 5
        features = features if isinstance(features, torch.Tensor) else features.pooler_output
        all_close(pooled[i], features[0])


@torch.inference_mode()
def test_clips_last_hidden_state_is_normed_by_its_final_layer_norm(clip: Path, opened: Open):
    model = CLIPModel.from_pretrained(clip).eval()
    raw: list[torch.Tensor] = []
    norm = model.text_model.final_layer_norm
    norm.register_forward_pre_hook(lambda _, inputs: raw.append(inputs[0]))
    (row,) = tokenized(clip, ["a cat"])
    model.text_model(input_ids=torch.from_numpy(row.astype(np.int64))[None])
    state = raw[0][0, -1]
    normed = (state - state.mean()) / torch.sqrt(state.var(correction=0) + norm.eps)
    expected = model.text_projection.weight @ (normed * norm.weight + norm.bias)
    all_close(encoded(opened(clip), [row])[0][0], expected)


def test_an_end_token_written_inside_a_text_does_not_end_it(clip: Path, opened: Open):
    begin, whole = "it's", "it's <|endoftext|> of the cat"
    pooled, _ = encoded(opened(clip), tokenized(clip, [begin, whole]))
    assert np.abs(pooled[0] - pooled[1]).max() > 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_bert_text_is_its_cls_state_or_the_mean_over_its_real_tokens(
    bert: Path, opened: Open, pooling: str
):
    model = BertModel.from_pretrained(bert).eval()
    tokenizer = AutoTokenizer.from_pretrained(bert)
    pooled, tokens = encoded(opened(bert, image_encoder="none", text_pooling=pooling),
                             tokenized(bert, TEXTS))  # fmt: skip
    for i, text in enumerate(TEXTS):
        ids = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        alone = model(input_ids=ids["input_ids"]).last_hidden_state[0]
        all_close(tokens[i], alone)
        all_close(pooled[i], alone[0] if pooling == "cls" else alone.mean(0))


def test_pooling_follows_the_folder_unless_asked_otherwise(bert: Path, mean_bert: Path):
    plain, mean = find_checkpoint(str(bert)), find_checkpoint(str(mean_bert))
    assert text_pooling(plain, "auto") == "cls"
    assert text_pooling(mean, "auto") == "mean"
    assert text_pooling(mean, "cls") == "cls"
    assert text_pooling(plain, "mean") == "mean"


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["cls"]}, "cls"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
    ],
)
def test_both_ways_of_naming_the_pooling_are_read(tmp_path: Path, said: dict, pooling: str):
    folder = build_bert(tmp_path / "bert", said)
    assert text_pooling(find_checkpoint(str(folder)), "auto") == pooling


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"pooling_mode": "max"}, "by max"),
        ({"pooling_mode": ["mean", "max"]}, "by mean and max"),
        ({"pooling_mode_lasttoken": True}, "by lasttoken"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "by mean and max"),
    ],
)
def test_a_pooling_that_is_neither_cls_nor_mean_is_refused(mean_bert: Path, tmp_path: Path,
                                                            said: dict, named: str):  # fmt: skip
    for file in mean_bert.iterdir():
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=f"{named}, expected cls or mean"):
        text_pooling(find_checkpoint(str(tmp_path)), "auto")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["clip", "bert", "mean_bert"])
def test_a_texts_features_do_not_depend_on_ragged_company(
    request: pytest.FixtureRequest, opened: Open, family: str, dtype: str
):
    folder = request.getfixturevalue(family)
    encoder = opened(folder, dtype, image_encoder="none")
    rows = tokenized(folder, TEXTS)
    pooled, tokens = encoded(encoder, rows)
    for i, row in enumerate(rows):
        alone, alone_tokens = encoded(encoder, [row])
        for ours, theirs in ((pooled[i], alone[0]), (tokens[i], alone_tokens[0])):
            scale = np.abs(theirs).max()
            # bfloat16 keeps 8 bits: a matrix product of another shape rounds the last one anew.
            limit = 1e-3 if dtype == "float32" else 2**-6
            assert np.abs(ours - theirs).max() <= limit * scale
            assert cosine(ours, theirs) >= 1 - 1e-3


@pytest.mark.parametrize("family", ["clip", "mean_bert"])
def test_with_equal_lengths_and_batch_size_the_company_changes_no_bit(
    request: pytest.FixtureRequest, opened: Open, family: str
):
    folder = request.getfixturevalue(family)
    encoder = opened(folder, image_encoder="none")
    rows = tokenized(folder, [f"cat {i}{j}" for i in range(4) for j in range(4)])
    assert len({len(row) for row in rows}) == 1
    first, first_tokens = encoded(encoder, rows[:8])
    second, second_tokens = encoded(encoder, [rows[15], rows[3], *rows[9:15]])
    np.testing.assert_array_equal(first[3], second[1])
    np.testing.assert_array_equal(first_tokens[3], second_tokens[1])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("family", ["clip", "mean_bert"])
def test_half_precision_on_a_cpu_stays_close_to_float32(
    request: pytest.FixtureRequest, opened: Open, family: str, dtype: str
):
    folder = request.getfixturevalue(family)
    rows = tokenized(folder, TEXTS)
    exact, _ = encoded(opened(folder, image_encoder="none"), rows)
    half, _ = encoded(opened(folder, dtype, image_encoder="none"), rows)
    assert not np.array_equal(exact, half)
    assert min(cosine(a, b) for a, b in zip(exact, half, strict=True)) >= 0.999


# Token ids


def test_truncation_keeps_the_end_token(clip: Path, bert: Path):
    for folder, (first, last) in {clip: (-2, -1), bert: ("[CLS]", "[SEP]")}.items():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if folder == clip:
            first, last = "<|startoftext|>", "<|endoftext|>"
        ends = tokenizer.convert_tokens_to_ids([first, last])
        for row in tokenized(folder, [*TEXTS, "x" * 10_000], max_tokens=12):
            assert len(row) <= 12
            assert [row[0], row[-1]] == ends
            assert row.dtype == np.int32


@pytest.mark.parametrize("family", ["clip", "bert"])
def test_a_mention_of_10000_characters_passes(
    request: pytest.FixtureRequest, opened: Open, family: str
):
    folder = request.getfixturevalue(family)
    (row,) = tokenized(folder, [joined("mention " * 1250, "s" * 10_000)])
    assert len(row) == MAX_TOKENS
    assert np.isfinite(encoded(opened(folder, image_encoder="none"), [row])[0]).all()


@pytest.mark.parametrize("family", ["clip", "bert"])
def test_an_empty_text_is_its_two_special_tokens(request: pytest.FixtureRequest, family: str):
    assert [len(row) for row in tokenized(request.getfixturevalue(family), ["", " "])] == [2, 2]


def test_clip_has_tokens_of_its_own_for_any_script(clip: Path):
    scripts = ["北京", "東京", "кот", "عربي", "🙂", "नमस्ते", "\u200d", "ß\x00"]
    rows = tokenized(clip, scripts)
    end = rows[0][-1]
    for row in rows:
        assert len(row) > 2
        assert end not in row[1:-1]  # the unknown token, which would end the text early
    assert len({row.tobytes() for row in rows}) == len(scripts)


def test_joining_leaves_out_the_separator_where_there_is_no_text():
    assert joined("a", "b") == "a [SEP] b"
    assert joined("a", "") == "a"


def test_more_tokens_than_the_model_has_positions_for_are_refused(clip: Path, bert: Path):
    for folder, positions in {clip: 77, bert: 64}.items():
        Tokenizer(find_checkpoint(str(folder)), positions)
        with pytest.raises(CheckpointError, match=rf"set extract\.max_tokens={positions}"):
            Tokenizer(find_checkpoint(str(folder)), positions + 1)


# Batches


def test_batches_of_any_size_put_the_same_tokens_end_to_end(clip: Path, opened: Open):
    encoder, rows = opened(clip), tokenized(clip, TEXTS)
    whole, local = encode_texts(encoder, rows, batch=5, pad=7)
    assert whole.dtype == local.dtype == np.float16
    offset = 0
    for i, row in enumerate(rows):
        pooled, tokens = encode_texts(encoder, [row], batch=1, pad=0)
        assert len(tokens) == len(row)
        np.testing.assert_allclose(pooled[0], whole[i], atol=2e-3)
        np.testing.assert_allclose(tokens, local[offset : offset + len(row)], atol=4e-3)
        offset += len(row)
    assert offset == len(local)


def test_no_texts_have_no_features(clip: Path, opened: Open):
    pooled, tokens = encode_texts(opened(clip), [], batch=5, pad=7)
    assert (pooled.shape, tokens.shape) == ((0, 24), (0, 32))


@pytest.mark.parametrize("local", [True, False])
def test_an_overflow_in_float16_is_told(
    clip: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, local: bool
):
    encoder, rows = opened(clip), tokenized(clip, TEXTS)[4:10]
    real = encoder.encode_texts

    def overflowing(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, tokens = (x.clone() for x in real(ids, mask))
        (tokens[-1, 0] if local else pooled[-1])[3] = 70_000.0  # fits float32, not float16
        return pooled, tokens

    monkeypatch.setattr(encoder, "encode_texts", overflowing)
    with pytest.raises(MelovError, match="features of a text are not finite") as caught:
        encode_texts(encoder, rows, batch=3, pad=0)
    assert "extract.dtype=float32" in str(caught.value)
