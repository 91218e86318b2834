"""Loading a frozen model by transformers, with one clear error."""

from __future__ import annotations

from typing import Any

import torch

from stages.encode.checkpoint import Checkpoint, CheckpointError


def load_frozen(
    class_name: str, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, **more: Any
) -> Any:
    """`transformers.<class_name>` from the folder, in evaluation mode, without gradients.

    Raises
    ------
    CheckpointError: the folder's files do not make this model.
    """
    import transformers

    # Its bar and its report on weights that are not needed are no news to the user here.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        model = getattr(transformers, class_name).from_pretrained(checkpoint.folder, **more)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{checkpoint.folder}: cannot load {class_name}: {first}") from None
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)
