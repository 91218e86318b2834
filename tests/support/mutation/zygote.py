"""The process that runs trials: everything is imported here, once."""

import sklearn.feature_extraction.text  # noqa: F401 - else every child would import it
import transformers.models.clip.modeling_clip
import transformers.models.clip.tokenization_clip  # noqa: F401

from tests.support.mutation import encoders, outputs, sources, world
from tests.support.mutation.trials import serve

SUBJECTS = {
    subject.name: subject
    for subject in (*sources.SUBJECTS, *outputs.SUBJECTS, *encoders.SUBJECTS, world.World())
}

if __name__ == "__main__":
    serve(SUBJECTS)
