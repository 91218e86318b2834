"""Loading a frozen model by transformers, with one clear error."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from stages.encode.encoders.checkpoint import Checkpoint, not_loaded
from stages.encode.encoders.weights import (
    AGAIN,
    require_all,
    require_finite,
    require_room,
    stored_weights,
)


def load_frozen(
    class_name: str,
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    rearrange: Callable[[Any, torch.dtype], None] | None = None,
    read: Iterable[str] = (),
    **more: Any,
) -> Any:
    """`transformers.<class_name>` from the folder, in evaluation mode, without gradients.

    The class is the library's own, whatever `auto_map` in config.json names.

    Args:
        rearrange: changes the loaded model in place; weights that it leaves are rounded after it.
        read: beginnings of weights that are needed though many checkpoints lack them, such as
            `pooler.`.
        more: for the class.

    Raises:
        CheckpointError: the folder's files do not make this model, or hold a number that is none.
    """
    import transformers

    # Its bar and its report on weights that are not needed are no news to the user here.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    kind = getattr(transformers, class_name)
    stored = stored_weights(checkpoint)
    try:
        config = kind.config_class.from_pretrained(checkpoint.folder, local_files_only=True)
        with torch.device("meta"):
            empty = kind(config, **more)
    except Exception as error:  # a configuration that does not fit together raises anything
        raise not_loaded(checkpoint.folder, class_name, error, "correct config.json") from None
    require_room(checkpoint, empty, stored)
    try:
        model, info = kind.from_pretrained(
            checkpoint.folder, config=config, output_loading_info=True, local_files_only=True,
            ignore_mismatched_sizes=True, **more,
        )  # fmt: skip
    except Exception as error:  # damaged weights raise nothing narrower
        raise not_loaded(checkpoint.folder, class_name, error, AGAIN) from None
    require_all(checkpoint, model, info, read)
    if rearrange is not None:
        rearrange(model, dtype)
    model = model.to(device=device, dtype=dtype)
    require_finite(checkpoint, model, dtype)
    return model.eval().requires_grad_(False)
