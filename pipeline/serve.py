"""Serve a trained run, with a page to try it on:

python -m pipeline.serve --dataset wikimel --variant melov
python -m pipeline.serve --bundle melov-wikimel

The page, the description of the service and its answers are at http://127.0.0.1:8000/.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cache.errors import MelovError
from pipeline.cli import command, echo, linker_options, require_bundles
from stages.config import Params
from stages.lazy import require
from stages.paths import DatasetPaths

if TYPE_CHECKING:  # which would import torch, and the page shall be there at once
    from stages.serving.served import Served

MOST_WAITING = 256
"""Connections that the system keeps while none is taken."""


@command("Serve a run over HTTP, with a page to try it on.", instead="bundle")
@linker_options
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
    help="Where it listens; 0.0.0.0 is everywhere, to everyone who reaches this machine.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
    help="Where it listens; 0 takes one that is free.",
)  # fmt: skip
@click.option(
    "--iri", metavar="TEMPLATE",
    help="Addresses of entities in NIF, with {id} in the place of the id.  [default: Wikidata's "
    "for its ids]",
)  # fmt: skip
@click.option(
    "--index/--no-index", default=True, show_default=True,
    help="Keep the run's entities on the disk, where the next start finds them.",
)  # fmt: skip
def main(
    params: Params, paths: DatasetPaths | None, bundle: str | None, text_encoder: str | None,
    image_encoder: str | None, variant: str, seed: int, host: str, port: int, iri: str | None,
    index: bool,
) -> None:  # fmt: skip
    if iri is not None and "{id}" not in iri:
        raise click.UsageError("--iri needs {id} in the place of the id")
    if bundle is not None:
        require_bundles(params)
    uvicorn = require("uvicorn", "serve", "serving")
    from stages.serving.app import make_app
    from stages.serving.bounds import LOOPBACK, Limits

    opening: Future[Served] = Future()
    limits = Limits(hosts=LOOPBACK if is_loopback(host) else None)
    with listen(host, port) as listening:
        config = uvicorn.Config(
            make_app(opening, limits, iri), log_level="warning", timeout_keep_alive=5,
            timeout_graceful_shutdown=5, server_header=False,
        )  # fmt: skip
        server = uvicorn.Server(config)
        # What takes a while is this thread's, so that it can be interrupted.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            echo(f"http://{_in_address(host)}:{listening.getsockname()[1]}/ is up; Ctrl-C ends it")
            if paths is not None:
                served = _of_run(params, paths, variant, seed, index)
            else:
                served = _of_bundle(params, str(bundle), text_encoder, image_encoder)
            opening.set_result(served)
            echo(f"open: {served.source}, {len(served.linker.entities):,} entities")
            thread.join()
        finally:
            server.should_exit = True
            thread.join()
    if not server.started:
        raise MelovError(f"{host}:{port}: the server did not start; its log says why")


def _of_run(params: Params, paths: DatasetPaths, variant: str, seed: int, index: bool) -> Served:
    from stages.linking.api import Linker
    from stages.linking.linker import Linker as Core
    from stages.serving.served import Served

    core = Core.open(paths, variant, seed, params.extract, params.evaluate, index)
    return Served.of_dataset(Linker(core), paths)


def _of_bundle(
    params: Params, bundle: str, text_encoder: str | None, image_encoder: str | None
) -> Served:
    from pipeline.link import open_given
    from stages.linking.api import Linker
    from stages.serving.served import Served

    encoders = {"text_encoder": text_encoder, "image_encoder": image_encoder}
    return Served(Linker(open_given(bundle, params, **encoders)), f"bundle {Path(bundle).name}")


def listen(host: str, port: int) -> socket.socket:
    """A socket at the address, which nobody else has.

    Raises:
        MelovError: somebody has, or the address is not this machine's.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise MelovError(f"{host}: {error.strerror or error}", "see --host") from None
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(MOST_WAITING)
        return found
    except OSError as error:
        found.close()
        taken = error.errno == errno.EADDRINUSE
        said = "another program serves there" if taken else error.strerror or str(error)
        hint = "take another port: --port 0 takes one that is free" if taken else "see --host"
        raise MelovError(f"{host}:{port}: {said}", hint) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    main()
