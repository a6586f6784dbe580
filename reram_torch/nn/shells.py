"""What is left of a float module whose weights went onto crossbars, so that it can come back."""

from __future__ import annotations

import copy

from torch import nn

_STATE = "_parameters", "_buffers", "_modules"


class Shell:
    """A float module without its parameters, buffers and children.

    It lies hidden from torch in a layer on crossbars, and is copied and pickled with it.
    """

    def __init__(self, module: nn.Module):
        self._module = copy.copy(module)
        for name in _STATE:
            vars(self._module)[name] = dict.fromkeys(getattr(module, name))

    @property
    def kind(self) -> type[nn.Module]:
        """The module's class."""
        return type(self._module)

    def lend(self, module: nn.Module) -> None:
        """Gives a module those plain attributes that it lacks."""
        for name, value in vars(self._module).items():
            vars(module).setdefault(name, value)

    def filled(self, module: nn.Module) -> nn.Module:
        """A module of the class, still without state; a module's attributes win over older ones."""
        made, torchs_own = copy.copy(self._module), vars(nn.Module())
        for name in _STATE:
            vars(made)[name] = dict(getattr(self._module, name))
        newer = {n: v for n, v in vars(module).items() if n in vars(made) and n not in torchs_own}
        vars(made).update(newer)
        return made
