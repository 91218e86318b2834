"""Bundles by their names on the hub, without a network."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from cache.errors import MelovError
from pipeline import Linker, Mention
from stages.encode.encoders.checkpoint import Checkpoint
from stages.linking.bundle.hub import bundle_folder, pinned


def test_a_name_is_downloaded_at_its_revision(bundles, root, tmp_path, monkeypatch):
    asked = []

    def snapshot(name, revision=None):
        asked.append((name, revision))
        linked = tmp_path / "snapshot"  # the hub's cache is links to its blobs
        for path in (bundles / "melov").rglob("*"):
            if path.is_file():
                place = linked / path.relative_to(bundles / "melov")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(path)
        return str(linked)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    linker = Linker.from_pretrained("org/melov-tiny", revision="v1")
    assert asked == [("org/melov-tiny", "v1")]
    assert next(linker.link([Mention("Ada")])).entities


def test_without_a_network_one_error_says_so(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", _offline)
    with pytest.raises(MelovError, match="org/name at v1: neither a folder nor to be had") as found:
        bundle_folder("org/name", "v1")
    assert "cannot find the requested files" in str(found.value)


def test_what_is_neither_a_folder_nor_a_name_is_told(tmp_path):
    for wrong in ("nowhere", "a/b/c", tmp_path / "nowhere/x", "../b c"):
        with pytest.raises(MelovError, match="no such folder, nor a name"):
            bundle_folder(wrong)
    with pytest.raises(MelovError, match="a folder has no revision"):
        bundle_folder(tmp_path, "main")
    assert bundle_folder(str(tmp_path)) == Path(tmp_path)


def test_an_encoder_of_the_hub_is_pinned_to_the_commit_that_has_its_hash(root, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(root / "clip"))
    hash = Checkpoint("clip", root / "clip").identity()
    assert pinned("org/clip", None, hash) == "clip"  # a snapshot's folder has the commit's name
    assert pinned("org/clip", "main", "another") == "main"
    monkeypatch.setattr(huggingface_hub, "snapshot_download", _offline)
    assert pinned("org/clip", None, hash) is None
    assert pinned("org/clip", "v1", hash) == "v1"


def _offline(name, **_):
    raise LocalEntryNotFoundError("cannot find the requested files\nin the cache")
