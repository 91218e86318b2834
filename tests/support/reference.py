"""The heads' formulas, one pair and one vector at a time, in float64 NumPy.

Written from the formulas of the paper (section 3.3, after MIMIC), with no padding, no batches and
none of the algebra that the product uses.
"""

from __future__ import annotations

import numpy as np


class Weights:
    """A module's parameters by name, as float64 arrays."""

    def __init__(self, module) -> None:
        self.values = {name: p.detach().double().numpy() for name, p in module.named_parameters()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.values[f"{name}.weight"].T + self.values[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred / scale * self.values[f"{name}.weight"] + self.values[f"{name}.bias"]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def text_score(w: Weights, t_m, T_m, t_e, T_e) -> float:
    t_m, t_e = w.norm("ln_t", t_m), w.norm("ln_t", t_e)
    T_m, T_e = w.norm("ln_T", T_m), w.norm("ln_T", T_e)
    query = w.linear("units.text.w_q", T_e)
    key, value = w.linear("units.text.w_k", T_m), w.linear("units.text.w_u", T_m)
    rows = []
    for q in query:
        attention = softmax(key @ q / np.sqrt(len(q)))
        rows.append(attention @ value)
    context = w.norm("units.text.ln_c", np.mean(rows, axis=0))
    g2l = float(w.linear("units.text.w_c", t_e) @ context)
    return (float(t_m @ t_e) + g2l) / 2


def gate(w: Weights, name: str, q, k, X) -> float:
    q, k = w.linear(f"{name}.w_1", q), w.linear(f"{name}.w_1", k)
    x = np.mean([w.linear(f"{name}.w_2", row) for row in X], axis=0)
    u = w.linear(f"{name}.w_3", w.norm(f"{name}.ln_a", x + q))
    g = np.tanh(w.linear(f"{name}.w", u))
    return float(w.norm(f"{name}.ln_b", g * u + k) @ w.norm(f"{name}.ln_b", q))


def vision_score(w: Weights, v_m, V_m, v_e, V_e) -> float:
    v_m, v_e = w.norm("ln_v", v_m), w.norm("ln_v", v_e)
    V_m, V_e = w.norm("ln_V", V_m), w.norm("ln_V", V_e)
    return (
        gate(w, "units.vision.d_1", v_e, v_m, V_m) + gate(w, "units.vision.d_2", v_m, v_e, V_e)
    ) / 2


def cross_side(w: Weights, t, V) -> np.ndarray:
    h = w.linear("units.cross.w_t", w.norm("ln_t", t))
    patches = w.linear("units.cross.w_i", w.norm("ln_V", V))
    alpha = softmax(patches @ h)
    guided = sum(a * patch for a, patch in zip(alpha, patches, strict=True))
    return w.norm("units.cross.ln_r", np.tanh(w.linear("units.cross.w_g", h)) * h + guided)


def cross_score(w: Weights, t_m, V_m, t_e, V_e) -> float:
    return float(cross_side(w, t_m, V_m) @ cross_side(w, t_e, V_e))
