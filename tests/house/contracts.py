"""Contracts for import-linter about what modules use beside what they import.

`uses`: names that only some packages may use, such as `print` or `torch.library`.
`privacy`: a private name is touched by the package that defines it only.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

# Private names of torch's and of Python's own classes that there is no public way to.
FOREIGN = {
    "_BatchNorm", "_assert_async", "_conv_forward", "_extra_state", "_fields", "_fields_",
    "_load_from_state_dict", "_modules", "_option_string_actions", "_parameters", "_replace",
    "_reversed_padding_repeated_twice",
    "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called", "_backward_hooks",
    "_backward_pre_hooks", "_is_full_backward_hook",
}  # fmt: skip


def source_of(module: str) -> ast.Module:
    """The parsed source of a module; nothing is imported, not even its package."""
    root, *rest = module.split(".")
    spec = find_spec(root)
    if spec is None or spec.origin is None:
        raise LookupError(f"no source of {root}")
    path = Path(spec.origin).parent.joinpath(*rest)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str:
    """The dotted name of an expression such as torch.library.define, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def names_used(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Dotted names that a module uses or imports, and their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            yield dotted(node), node.lineno
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def package_of(module: str) -> str:
    """The floor of a module: its first package below the root, or the root itself."""
    return ".".join(module.split(".")[:2])


class _Report(Contract):
    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints what was found."""
        for line in check.metadata["found"]:
            output.print_error(line)


class UsesContract(_Report):
    """Names that only some packages may use."""

    type_name = "uses"
    names = fields.SetField(subfield=fields.StringField())
    allowed = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Looks through every module of the root package."""
        del verbose
        found = []
        for module in sorted(graph.modules):
            if not module.startswith("reram_torch") or package_of(module) in self.allowed:
                continue
            for used, line in names_used(source_of(module)):
                if any(used == name or used.startswith(f"{name}.") for name in self.names):
                    found.append(f"{module}, line {line}, uses {used}")
        return ContractCheck(kept=not found, metadata={"found": sorted(set(found))})


def definitions(tree: ast.Module) -> Iterator[str]:
    """Private names that a module defines: functions, classes, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


class PrivacyContract(_Report):
    """A private name is touched by the package that defines it only."""

    type_name = "privacy"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collects what packages define, then looks at every private attribute and import."""
        del verbose
        trees = {m: source_of(m) for m in sorted(graph.modules) if m.startswith("reram_torch")}
        own = defaultdict(set)
        for module, tree in trees.items():
            own[package_of(module)].update(filter(is_private, definitions(tree)))
        found = []
        for module, tree in trees.items():
            for node in ast.walk(tree):
                names = []
                if isinstance(node, ast.Attribute):
                    names = [node.attr]
                elif isinstance(node, ast.ImportFrom):
                    names = [alias.name for alias in node.names if alias.name != "_support"]
                for name in filter(is_private, names):
                    if name not in own[package_of(module)] | FOREIGN:
                        found.append(f"{module}, line {node.lineno}, touches {name}")
        return ContractCheck(kept=not found, metadata={"found": found})
