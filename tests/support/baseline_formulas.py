"""The baselines' formulas in NumPy: one record at a time, float64, real tokens only.

Weights come from a model by their names; nothing else of it is used.
"""

import numpy as np

from stages.heads.baselines.dzmned import BUCKETS
from stages.heads.baselines.zero_shot import WEIGHT


class Formulas:
    """r of single records with the weights of `model`."""

    def __init__(self, model):
        self.w = {n: p.detach().numpy().astype(np.float64) for n, p in model.named_parameters()}
        self.variant, self.joint = model.config.variant, model.config.joint_space

    def scores(self, mentions, entities):
        """S of all pairs, a loop over both."""
        if self.variant == "clip":
            return clip_scores(mentions, entities, joint=self.joint)
        if self.variant == "tfidf":
            return tfidf_scores(mentions, entities)
        if self.variant == "zero-shot":
            return zero_shot_scores(mentions, entities)
        m = [self.r(record, "w_m") for record in records(mentions)]
        e = [self.r(record, "w_e") for record in records(entities)]
        return np.array([[a @ b for b in e] for a in m])

    def r(self, record, side):
        return self.norm(getattr(self, self.variant)(record, side), "ln_r")

    def linear(self, x, name):
        y = x @ self.w[f"{name}.weight"].T
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return unit * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def text(self, record):
        t, tokens = record["t"], record["tokens"]
        if "adapter_global.w_1.weight" in self.w:
            t = self.adapted(t, "adapter_global")
        if "ln_T.weight" in self.w:
            if "adapter_local.w_1.weight" in self.w:
                tokens = self.adapted(tokens, "adapter_local")
            tokens = self.norm(tokens, "ln_T")
        return self.norm(t, "ln_t"), tokens

    def adapted(self, x, name):
        return x + self.linear(np.maximum(self.linear(x, f"{name}.w_1"), 0), f"{name}.w_2")

    def picture(self, record):
        none = self.w["pictures.no_picture"]
        v = self.linear(record["v"], "pictures.w_v") if record["has"] else none[0]
        v = self.norm(v, "pictures.ln_v")
        if len(none) == 1:
            return v, None
        if record["has"]:
            patches = self.linear(record["patches"], "pictures.w_V")
        else:
            patches = np.tile(none[1], (len(record["patches"]), 1))
        return v, self.norm(patches, "pictures.ln_V")

    def bert(self, record, side):
        return self.linear(self.text(record)[0], "w")

    vilt = bert  # of the joint vector, which stands where a text's does

    def blink(self, record, side):
        return self.linear(self.text(record)[0], side)

    def jmel(self, record, side):
        u = np.concatenate([self.linear(self.text(record)[0], "w_t"), self.picture(record)[0]])
        return self.linear(np.maximum(self.linear(u, "w_1"), 0), "w_2")

    def dzmned(self, record, side):
        x_w = self.linear(self.text(record)[0], "w_t")
        x_v = self.norm(self.linear(record["v"], "w_v"), "ln_v") if record["has"] else 0 * x_w
        x_c = sum((f * self.w["c"][k % BUCKETS] for k, f in enumerate(record["names"])), 0 * x_w)
        a = np.exp(sigmoid(self.linear(np.concatenate([x_w, x_v, x_c]), "w_a")))
        a[1] *= record["has"]
        return (a[0] * x_w + a[1] * x_v + a[2] * x_c) / a.sum()

    def velml(self, record, side):
        t, tokens = self.text(record)
        f, tokens = self.linear(t, "w_t"), self.linear(tokens, "w_T")
        v, patches = self.picture(record)
        v = v + self.additive(patches, f, "of_patches")
        t = f + self.additive(tokens, v, "of_tokens")
        return self.gated(t, v)

    def additive(self, x, q, name):
        logits = [
            self.w[f"{name}.w.weight"][0]
            @ np.tanh(self.linear(row, f"{name}.w_1") + self.linear(q, f"{name}.w_2"))
            for row in x
        ]
        return softmax(np.array(logits)) @ x

    def ghmfc(self, record, side):
        t, tokens = self.text(record)
        tokens = self.linear(tokens, "w_T")
        v, patches = self.picture(record)
        t = self.linear(t, "w_t") + self.crossed(tokens, patches, "tokens_read").mean(0)
        v = v + self.crossed(patches, tokens, "patches_read").mean(0)
        return self.gated(t, v)

    def crossed(self, x, y, name):
        found = []
        for row in x:
            q = self.linear(row, f"{name}.w_q")
            a = softmax(self.linear(y, f"{name}.w_k") @ q / len(q) ** 0.5)
            a = a @ self.linear(y, f"{name}.w_u")
            gate = sigmoid(self.linear(np.concatenate([row, a]), f"{name}.w_x"))
            found.append(self.norm(row + gate * a, f"{name}.ln"))
        return np.array(found)

    def gated(self, t, v):
        g = sigmoid(self.linear(np.concatenate([t, v]), "w_g"))
        return g * t + (1 - g) * v


def clip_scores(mentions, entities, joint):
    """The mean of the cosines that exist for a pair."""
    found = []
    for m in records(mentions):
        for e in records(entities):
            cosines = [cosine(m["t"], e["t"])]
            cosines += [cosine(m["v"], e["v"])] if m["has"] and e["has"] else []
            cosines += [cosine(m["t"], e["v"])] if joint and e["has"] else []
            cosines += [cosine(m["v"], e["t"])] if joint and m["has"] else []
            found.append(np.mean(cosines))
    return np.reshape(found, (len(mentions), len(entities)))


def tfidf_scores(mentions, entities):
    m, e = (x.csr("lexical").toarray().astype(np.float64) for x in (mentions, entities))
    return np.array([[a @ b for b in e] for a in m])


def zero_shot_scores(mentions, entities):
    found = tfidf_scores(mentions, entities)
    for i, m in enumerate(records(mentions)):
        for j, e in enumerate(records(entities)):
            found[i, j] += m["words"] @ e["words"] + WEIGHT * cosine(m["t"], e["t"])
    return found


def records(x):
    """Each record's own numbers, without padding."""
    names = x.csr("lexical").toarray().astype(np.float64)
    for i in range(len(x)):
        mask = x.text_mask[i].numpy()
        yield {
            "words": np.zeros(1) if "words" not in x.arrays else x.csr("words").toarray()[i],
            "t": wide(x.text_global[i]),
            "tokens": wide(x.text_local[i])[mask],
            "has": bool(x.has_image[i]),
            "v": None if x.image_global is None else wide(x.image_global[i]),
            "patches": None if x.image_local is None else wide(x.image_local[i]),
            "names": names[i],
        }


def wide(x):
    return x.numpy().astype(np.float64)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def softmax(x):
    p = np.exp(x - x.max())
    return p / p.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))
