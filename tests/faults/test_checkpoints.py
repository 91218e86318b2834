"""Mutations of every file of checkpoints: one clear error, or features of another identity.

Each trial changes one file of one checkpoint, by a value of its JSON or by its bytes, then opens
the encoder and encodes three texts and a picture. Whatever the library raises, users see one error;
and features that differ must have another identity, since a store is known by it.
"""

import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cache.errors import MelovError
from stages.config import ExtractConfig
from stages.encode.encoders.families import find_checkpoints, open_encoder
from stages.encode.features import encode_texts
from stages.encode.tokens import Tokenizer
from tests.support.tiny_encoders import BOTH, build_image, build_text

pytestmark = pytest.mark.faults

CPU = torch.device("cpu")
SECONDS = 60
"""That a trial may take; each takes a twentieth of one."""
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**12, -(10**18), 1.5, 1e30, 1e-30, "", "x",
    "../x", "float16", "<mask>", [], [1], [1, 2], [None], ["a"], {}, {"a": 1},
]  # fmt: skip
KEYS = (
    "added_tokens_decoder", "auto_map", "backend", "bos_token", "chat_template", "dtype",
    "chunk_size_feed_forward", "extra_special_tokens", "hidden_act", "id2label",
    "is_encoder_decoder", "layer_types", "max_length", "model_input_names", "name_or_path",
    "normalizer", "num_labels", "output_attentions", "output_hidden_states", "post_processor",
    "problem_type", "pruned_heads",
    "return_dict", "rope_parameters", "special_tokens", "tokenizer_file", "unk_token", "use_cache",
    "vocab_file",
)  # fmt: skip


def as_sentence_encoder(folder: Path) -> Path:
    steps = {"Transformer": "", "Pooling": "1_Pooling"}
    listed = [{"type": f"sentence_transformers.models.{k}", "path": p} for k, p in steps.items()]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


def as_bin(folder: Path) -> Path:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("checkpoints")
    texts = {name: build_text(name, base / name).folder for name in ("bert", "roberta", "albert")}
    as_sentence_encoder(texts["bert"])
    as_bin(texts["roberta"])
    images = {name: build_image(name, base / name).folder for name in ("beit", "dinov2")}
    return (
        texts
        | images
        | {name: BOTH[name](base / name).folder for name in ("SigLIP", "CLIP ViT-B/32")}
    )


def features(folders: dict[str, Path], name: str) -> tuple[str, list[bytes]]:
    """Identity of one checkpoint, and what comes of it."""
    folder, of_pictures = folders[name], name in ("beit", "dinov2")
    config = ExtractConfig(
        text_encoder=str(folders["bert"] if of_pictures else folder),
        image_encoder=str(folder) if of_pictures else "same" if name in BOTH else "none",
        max_tokens=24,
    )
    found = find_checkpoints(config)
    looked_at = found.image if of_pictures and found.image is not None else found.text
    identity = looked_at.identity()
    tokenizer = Tokenizer(found.text, config.max_tokens)
    encoder = open_encoder(found, config, CPU, torch.float32, tokenizer)
    rows = tokenizer(["a cat", "the dog of words", ""])
    made = [part.tobytes() for part in encode_texts(encoder, rows, 2, tokenizer.pad)]
    if encoder.pixels is not None:
        side = encoder.pixels.size
        picture = torch.linspace(-1, 1, 3 * side * side).view(1, 3, side, side)
        made += [part.numpy().tobytes() for part in encoder.encode_images(picture)]
        made.append(repr(encoder.pixels).encode())
    return identity, made


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys; of long lists, the beginning."""
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 40))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def with_another_value(data: bytes, draw: random.Random) -> bytes:
    said = json.loads(data)
    if (
        isinstance(said, dict)
        and "vocab" in str(said.get("model", ""))[:400]
        and draw.random() < 0.7
    ):
        inner = {key: part for key, part in said.items() if key != "model"}  # a vocabulary is long
    else:
        inner = said
    place, key = draw.choice(list(places(inner)))
    kind = draw.random()
    if kind < 0.6:
        place[key] = draw.choice(VALUES)
    elif kind < 0.8:
        del place[key]
    elif isinstance(place, dict):
        place[draw.choice(KEYS)] = draw.choice(VALUES)
    return json.dumps(said if inner is said else {**inner, "model": said["model"]}).encode()


def flipped(data: bytes, draw: random.Random) -> bytes:
    held = bytearray(data)
    for _ in range(draw.choice([1, 1, 8])):
        held[draw.randrange(min(len(held), draw.choice([1000, 10**9])))] ^= 1 << draw.randrange(8)
    return bytes(held)


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def zeroed(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    stop = min(start + 64, len(data))
    return data[:start] + bytes(stop - start) + data[stop:]


def longer(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + draw.randbytes(5) + data[start:]


def mutated(path: Path, draw: random.Random) -> tuple[str, bytes]:
    ways: list[Callable[[bytes, random.Random], bytes]] = [flipped, cut, zeroed, longer]
    values = path.suffix == ".json" and draw.random() < 0.8
    way = with_another_value if values else draw.choice(ways)
    return way.__name__, way(path.read_bytes(), draw)


@pytest.fixture
def alarm() -> Iterator[Callable[[int], Any]]:
    def late(*_: object) -> None:
        raise TimeoutError(f"took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    yield signal.alarm
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("default")  # a mutated file may well be warned of
@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_checkpoint_is_one_error_or_has_another_identity(
    folders: dict[str, Path], alarm: Callable[[int], Any], seed: int
):
    draw, counts, wrong = random.Random(seed), Counter[str](), []
    whole = {name: features(folders, name) for name in folders}
    for number in range(1000):
        name = draw.choice(list(folders))
        path = draw.choice(sorted(p for p in folders[name].rglob("*") if p.is_file()))
        held, (way, data) = path.read_bytes(), mutated(path, draw)
        path.write_bytes(data)
        alarm(SECONDS)
        try:
            identity, made = features(folders, name)
            same = made == whole[name][1]
            came = "same" if same else "another" if identity != whole[name][0] else "silent"
        except MelovError as error:
            came = "error" if "\n" not in error.message else f"of several lines: {error.message}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # what Rust panics with is no Exception
            came = f"{type(error).__name__}: {error}"
        finally:
            alarm(0)
            path.write_bytes(held)
        counts[came if came in ("same", "another", "error") else "wrong"] += 1
        if came not in ("same", "another", "error"):
            wrong.append(f"{number}: {name}/{path.name} {way}: {came}"[:300])
    print(f"seed {seed}: {dict(counts)}")  # noqa: T201 - the campaign's figures
    assert not wrong
    assert counts["error"] > 300
    assert counts["another"] > 30
