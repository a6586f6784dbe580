"""Networks on crossbars whose layers compute in float."""

from contextlib import contextmanager

import reram_torch as rt
from reram_torch.nn.watchers import Watcher, watching


class Floats(Watcher):
    computes = True

    def __init__(self):
        self.called = []

    def compute(self, layer, x):
        self.called.append(layer)
        return layer.float_forward(x)


@contextmanager
def in_float(net):
    """Inside the block the crossbar layers compute what torch's do; gives who was called."""
    watcher = Floats()
    with watching(dict.fromkeys(rt.crossbar_layers(net).values(), watcher)):
        yield watcher.called
