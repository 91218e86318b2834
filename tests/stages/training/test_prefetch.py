import threading

import pytest
import torch

from stages.training.prefetch import prefetch


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_items_come_in_order_whatever_the_device(kind, n):
    found = list(prefetch(lambda key: 10 * key, range(n), torch.device(kind)))
    assert found == [10 * key for key in range(n)]


def test_on_a_gpu_the_next_item_is_loaded_beside_the_consumer_and_on_a_cpu_in_its_place():
    threads: list[str] = []

    def load(key):
        threads.append(threading.current_thread().name)
        return key

    for kind in ("cuda", "cpu"):
        threads.clear()
        assert len(list(prefetch(load, range(4), torch.device(kind)))) == 4
        assert {name.startswith("gather") for name in threads} == {kind == "cuda"}


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_failure_to_load_reaches_the_consumer(kind):
    def load(key):
        if key == 2:
            raise ValueError("damaged")
        return key

    items = prefetch(load, range(4), torch.device(kind))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="damaged"):
        next(items)
