"""Who may import whom, held over the syntax trees of the whole project."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "harness": {"harness"},
    "backends": {"backends", "harness"},
    "workloads": {"workloads", "harness"},
    "dashboards": {"dashboards", "harness"},
}
HEAVY = {"torch", "numba", "llvmlite"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names that a tree imports, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            yield str(node.module)


def own_imports(path: Path) -> set[str]:
    names = imported(ast.parse(path.read_text()))
    return {name.partition(".")[0] for name in names} & set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    assert modules(package), f"{package} has no modules"
    for path in modules(package):
        assert own_imports(path) <= ALLOWED[package], path


def test_the_harness_names_others_only_by_entry_point() -> None:
    for path in modules("harness"):
        assert own_imports(path) <= {"harness"}, path


def test_the_harness_never_imports_a_framework() -> None:
    for path in modules("harness"):
        if path.name in {"cuda.py", "ranks_torch.py"}:
            continue  # meters and ranks import torch in the worker, inside their functions
        names = {name.partition(".")[0] for name in imported(ast.parse(path.read_text()))}
        assert not names & HEAVY, path


def test_workloads_never_import_each_other() -> None:
    families = sorted(path.name for path in (ROOT / "workloads").iterdir() if path.is_dir())
    families = [name for name in families if name != "__pycache__"]
    assert {"heat", "msrep", "solar"} <= set(families)
    for family in families:
        for path in modules(f"workloads/{family}"):
            for name in imported(ast.parse(path.read_text())):
                if name.startswith("workloads."):
                    assert name.split(".")[1] in {family, "kernels"}, path


def test_no_workload_asks_for_a_backends_name() -> None:
    backends = {"cpu", "arm", "cuda", "gaudi"}
    for path in modules("workloads"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            words = {side.value for side in sides if isinstance(side, ast.Constant)}
            assert not words & backends, f"{path}:{node.lineno} decides by a backend's name"


def test_a_forbidden_import_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.py"
    hidden.write_text("def f():\n    if True:\n        from workloads.heat import WORKLOAD\n")
    assert own_imports(hidden) == {"workloads"}
