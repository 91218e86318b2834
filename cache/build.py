from __future__ import annotations

from contextlib import contextmanager

from cache.writer import StoreWriter
from cache.writer import put_back as _pb


def recover(partial, target):
    _pb(partial, target)


class _B:
    def __init__(s, w, t):
        s.w, s.t = w, t

    def __getattr__(s, n):
        return getattr(s.w, n)

    def finish(s, units, attributes):
        s.w.finish(s.t, units, attributes)


@contextmanager
def building(target, partial, name, fingerprint, specs):
    yield _B(StoreWriter.open(partial / name, fingerprint, specs), target)
