"""The command that serves, as a process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from pipeline import Linker
from pipeline.bundle import main as bundle
from pipeline.serve import listen, main
from pipeline.train import main as train
from tests.support.tiny_world import tiny_world

RUN = ["--dataset", "tiny", "--variant", "no-inter", "--seed", "5"]
ONE_EPOCH = ["--set", "train.epochs=1"]
BODY = {"text": "the harbour of Ada", "mentions": [{"start": 15, "end": 18}]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny_world(tmp_path_factory.getbasetemp())
    with contextlib.chdir(root):
        result = CliRunner().invoke(train, [*RUN, *ONE_EPOCH])
    assert result.exit_code == 0, result.output
    return root


@contextlib.contextmanager
def serving(cwd: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and its address once it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.serve", *arguments], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        while (found := re.search(r"http://\S+/", said)) is None:
            line = process.stdout.readline()
            assert line, said
            said += line
        until = time.monotonic() + 120
        while httpx.get(f"{found[0]}health").json()["status"] == "opening":
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def ask(address: str) -> httpx.Response:
    return httpx.post(f"{address}link", json=BODY, timeout=60)


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """One service for the tests that it survives."""
    with serving(root, *RUN, "--port", "0") as found:
        yield found


@pytest.mark.slow
def test_killed_it_serves_again_at_the_same_address_until_it_is_interrupted(root, running):
    want = ask(running[1]).json()
    with serving(root, *RUN, "--port", "0") as (process, address), httpx.Client() as client:
        assert client.get(f"{address}health").status_code == 200
        process.kill()  # while a connection is open
        process.wait()
    port = address.rsplit(":", 1)[1].strip("/")
    with serving(root, *RUN, "--port", port) as (process, again):
        assert again == address
        assert ask(again).json() == want
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_two_at_one_address_are_told(root, running):
    address = running[1]
    port = address.rsplit(":", 1)[1].strip("/")
    with contextlib.chdir(root):
        second = CliRunner().invoke(main, [*RUN, "--port", port])
    assert second.exit_code == 1
    assert second.stderr.splitlines() == [
        f"error: 127.0.0.1:{port}: another program serves there",
        "  take another port: --port 0 takes one that is free",
    ]
    assert ask(address).status_code == 200


def test_a_bundle_is_served_as_it_was_opened_while_another_takes_its_place(root, tmp_path):
    output = tmp_path / "served"
    write = [*RUN, "--output", str(output), "--with-encoder"]
    with contextlib.chdir(root):
        assert CliRunner().invoke(bundle, write).exit_code == 0
        with serving(tmp_path, "--bundle", str(output), "--port", "0") as (_, address):
            health = httpx.get(f"{address}health").json()
            assert health["source"] == "bundle served"
            want = ask(address).json()
            assert [e["has_picture"] for e in want["mentions"][0]["entities"]] == [False] * 5
            other = [*RUN[:-1], "6"]
            assert CliRunner().invoke(train, [*other, *ONE_EPOCH]).exit_code == 0
            result = CliRunner().invoke(bundle, [*other, *write[len(RUN) :], "--force"])
            assert result.exit_code == 0, result.output
            assert ask(address).json() == want
            assert httpx.get(f"{address}health").json()["weights"] == health["weights"]
    assert Linker.from_pretrained(output).about.weights != health["weights"]


def test_a_run_that_is_not_there_is_one_message(root):
    with contextlib.chdir(root):
        result = CliRunner().invoke(main, ["--dataset", "tiny", "--seed", "99", "--port", "0"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "pipeline.train" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bundle", "x", "--dataset", "tiny"], "give one of --dataset and --bundle"),
        ([*RUN, "--port", "70000"], "--port"),
        ([*RUN, "--iri", "http://x/"], "--iri needs {id}"),
    ],
)
def test_wrong_usage(root, arguments, said):
    with contextlib.chdir(root):
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_an_address_that_is_not_this_machines_is_told(root):
    with contextlib.chdir(root):
        result = CliRunner().invoke(main, [*RUN, "--host", "192.0.2.1"])
    assert result.exit_code == 1
    assert "192.0.2.1:8000" in result.output
    assert "--host" in result.output


def test_without_the_extra_one_message_says_how_to_install_it(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with contextlib.chdir(root):
        result = CliRunner().invoke(main, [*RUN, "--port", "0"])
    assert result.exit_code == 1
    assert "pip install 'melov-cache[serve]'" in result.output


def test_a_body_that_never_ends_holds_up_nobody(running):
    address = running[1]
    host, port = address.removeprefix("http://").strip("/").split(":")
    with socket.create_connection((host, int(port))) as endless:
        endless.sendall(
            b"POST /link HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        for _ in range(3):
            assert ask(address).status_code == 200


def test_a_picture_of_100_mb_is_refused_and_not_held(running):
    process, address = running
    assert ask(address).status_code == 200
    before = resident(process.pid)

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(2**20)

    head = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{address}link", content=parts(), headers=head, timeout=60)
    assert answer.status_code == 413
    assert json.loads(answer.text)["status"] == 413
    assert ask(address).status_code == 200
    assert resident(process.pid) - before < 80 * 2**20


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_listening_takes_a_free_port():
    with listen("127.0.0.1", 0) as one, listen("localhost", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1] != 0
