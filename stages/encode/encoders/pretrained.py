"""Loading a frozen model by transformers, with one clear error."""

from collections.abc import Callable
from typing import Any

import torch

from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError, not_loaded


def load_frozen(
    class_name: str,
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    rearrange: Callable[[Any, torch.dtype], None] | None = None,
    **more: Any,
) -> Any:
    """`transformers.<class_name>` from the folder, in evaluation mode, without gradients.

    Args:
        rearrange: changes the loaded model in place; weights that it leaves are rounded after it.
        more: for `from_pretrained`.

    Raises:
        CheckpointError: the folder's files do not make this model.
    """
    import transformers

    # Its bar and its report on weights that are not needed are no news to the user here.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        model, info = getattr(transformers, class_name).from_pretrained(
            checkpoint.folder, output_loading_info=True, trust_remote_code=False, **more
        )
    except Exception as error:  # a configuration of other types raises nothing narrower
        raise not_loaded(
            checkpoint.folder,
            class_name,
            error,
            "download the folder again, weights included (git lfs pull in a clone)",
        ) from None
    # transformers gives absent weights random values. Poolers are not read here, and many
    # checkpoints have none.
    missing = sorted(key for key in info["missing_keys"] if "pooler." not in key)
    if missing:
        raise CheckpointError(
            f"{checkpoint.folder}: {len(missing)} weights of {class_name} are missing, such as "
            f"{missing[0]}",
            "expected a checkpoint of this very model",
        )
    if rearrange is not None:
        rearrange(model, dtype)
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)
