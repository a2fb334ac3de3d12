"""Read from the code itself: where randomness comes from, and what is compared byte by byte."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import flwr_swarm

ROOT = Path(flwr_swarm.__file__).parent

PREDICTABLE_MODULES = {"random", "numpy.random", "torch.random"}
PREDICTABLE_CALLS = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
    *("normal", "normal_", "uniform_", "random_", "bernoulli", "bernoulli_", "multinomial"),
    *("exponential_", "log_normal_", "cauchy_", "geometric_", "poisson", "manual_seed", "seed"),
    *("Generator", "default_rng", "RandomState", "fork_rng", "initial_seed", "getrandbits"),
}
"""Of numpy, torch and tensors: none of them is a source of secrets."""

ALLOWED = {
    # The order in which a relay tries sets of openings; its seed is public.
    "protocol/relay.py": {"import random"},
    # Ports of this machine for a demo, from the system's randomness through `SystemRandom`.
    "deployment/address.py": {"import random"},
}

SOURCES = {"random", "entropy"}
"""Parameters that take a source of randomness."""
TAKES_A_SOURCE = {"uniform", "draw", "generate_encryption_key", "generate"}
"""Functions of `encryption` and `keystore` whose first argument is one."""
OWN = {"SecureRandom"}
"""AES-256 in counter mode under a key from the system (`privacy/randomness.py`)."""

SECRET_WORDS = (
    *("secret", "private", "password", "account_key", "share_key", "ephemeral_key", "preimage"),
    *("reveal", "mac", "token", "share", "plain"),
)
COMPARED = {
    # Hashes that stand on the ledger.
    "protocol/blame.py": ["seal.shares_hash", "shares"],
    "protocol/open.py": ["seal.shares_hash"],
    "protocol/relay.py": ["seal.shares_hash", "shares"],
    # Names of a mode and of a variable.
    "demo/apps.py": ["PLAINTEXT"],
    "deployment/surroundings.py": ["PASSWORD_VARIABLE"],
    "privacy/checks.py": ["SHARED"],
}
"""Names that only sound secret."""


@cache
def trees() -> dict[str, ast.Module]:
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
        for path in sorted(ROOT.rglob("*.py"))
    }


def dotted(node: ast.expr) -> str:
    """`a.b.c` of names and attributes; what else there is counts as `?`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def predictable(tree: ast.Module) -> Iterator[str]:
    """What a module uses of generators that are not the system's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {a.name}" for a in node.names if a.name in PREDICTABLE_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module in PREDICTABLE_MODULES:
                yield f"import {node.module}"
            for alias in node.names:
                if f"{node.module}.{alias.name}" in PREDICTABLE_MODULES:
                    yield f"import {node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute):
            name = dotted(node)
            module = name in {"np.random", "numpy.random", "torch.random"}
            if module or (node.attr in PREDICTABLE_CALLS and not name.startswith("self.")):
                yield name


def test_randomness_comes_from_the_system_alone() -> None:
    found = {name: set(predictable(tree)) for name, tree in trees().items()}
    assert {name: uses for name, uses in found.items() if uses} == ALLOWED


class Callers(ast.NodeVisitor):
    """Calls that give a source of randomness: neither the system's nor their own caller's."""

    def __init__(self, *, positional: bool) -> None:
        self.positional = positional
        self.scopes: list[set[str]] = []
        self.wrong: list[int] = []
        self.seen = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        known = {a.arg for a in arguments if a.arg in SOURCES}
        defaults = zip(
            [*arguments[len(arguments) - len(node.args.kwonlyargs) - len(node.args.defaults) :]],
            [*node.args.defaults, *node.args.kw_defaults],
            strict=True,
        )
        for argument, default in defaults:
            if argument.arg in SOURCES and default is not None:
                self.check(default)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and self.own(inner.value):
                known |= {dotted(target) for target in inner.targets}
            # `random, turn = SecureRandom(), ...`
            if isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Tuple):
                for target in inner.targets:
                    if isinstance(target, ast.Tuple):
                        pairs = zip(target.elts, inner.value.elts, strict=True)
                        known |= {dotted(t) for t, value in pairs if self.own(value)}
        self.scopes.append(known)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A source that an object was made with is its maker's; whoever makes it is read, too."""
        known = {
            f"self.{field.target.id}"
            for field in node.body
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and field.target.id in SOURCES
        }
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and dotted(inner.value) in SOURCES:
                known |= {dotted(target) for target in inner.targets}
        self.scopes.append(known)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_Call(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg in SOURCES:
                self.check(keyword.value)
        if self.positional and node.args and dotted(node.func).rsplit(".", 1)[-1] in TAKES_A_SOURCE:
            self.check(node.args[0])
        self.generic_visit(node)

    @staticmethod
    def own(value: ast.expr) -> bool:
        return isinstance(value, ast.Call) and dotted(value.func) in OWN

    def check(self, value: ast.expr) -> None:
        self.seen += 1
        handed_on = any(dotted(value) in known for known in self.scopes)
        if not (dotted(value) == "os.urandom" or handed_on or self.own(value)):
            self.wrong.append(value.lineno)


def test_no_caller_of_ours_gives_another_source_than_the_systems() -> None:
    wrong, seen = {}, 0
    for name, tree in trees().items():
        callers = Callers(positional=name.startswith(("encryption/", "keystore/")))
        callers.visit(tree)
        seen += callers.seen
        if callers.wrong:
            wrong[name] = callers.wrong
    assert wrong == {}
    assert seen > 15


def compared(tree: ast.Module) -> Iterator[str]:
    """Names that sound secret on either side of == or !=, but for their lengths and counts."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            continue
        for side in (node.left, *node.comparators):
            name = dotted(side).rsplit(".", 1)[-1].lower()
            if any(word in name for word in SECRET_WORDS):
                yield dotted(side)


def test_no_secret_is_compared_byte_by_byte() -> None:
    found = {name: sorted(set(compared(tree))) for name, tree in trees().items()}
    assert {name: names for name, names in found.items() if names} == COMPARED
