"""The tree keeps its shape: who imports whom, what is packaged, how long a file may be, what stays out of `import greyzone`."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
HOMES = {"nlp": "greyzone", "models": "greyzone.models", "training": "greyzone.training", "eval": "greyzone.eval"}
FOUNDATIONS = {"records", "errors", "dates", "text", "places", "urls", "language", "ranges", "_version"}
COMPOSERS = {"pipeline", "acts", "growth", "cli", "__main__", "__init__", "sql", "doctor", "case"}
SHARED_PARTS = {"cluster", "neighbours", "labels", "entities", "words", "scores", "terms", "bursts", "handles", "kin"}
"""Files that hold the pure parts of a stage, or of several: stages may import them."""


def modules():
    for folder, package in HOMES.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            relative = file.relative_to(ROOT / folder).with_suffix("")
            parts = [part for part in relative.parts if part != "__init__"]
            yield ".".join([package, *parts]), file


MODULES = dict(modules())


def imports(file: pathlib.Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    nodes = tree.body if top_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def stage_of(module: str) -> str | None:
    """The act a module belongs to: collect for greyzone.collect.telegram; None outside nlp/."""
    parts = module.split(".")
    if parts[0] != "greyzone" or len(parts) == 1 or parts[1] in {"models", "training", "eval"}:
        return None
    return parts[1]


@pytest.mark.parametrize("module", sorted(name for name in MODULES if stage_of(name) and stage_of(name) not in COMPOSERS))
def test_stages_do_not_import_stages(module):
    act = stage_of(module)
    known = {stage_of(name) for name in MODULES} - {None}
    allowed = FOUNDATIONS | SHARED_PARTS | {act, "doctrine", "engine"}
    if act in FOUNDATIONS:
        allowed = FOUNDATIONS
    met = {stage_of(name) for name in imports(MODULES[module]) if stage_of(name) in known}
    assert met <= allowed, f"{module} imports {sorted(met - allowed)}"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("greyzone.models")))
def test_models_import_only_foundations(module):
    met = {name for name in imports(MODULES[module]) if name.startswith("greyzone.") and not name.startswith("greyzone.models")}
    assert {stage_of(name) for name in met} <= FOUNDATIONS | {"doctrine", "engine"}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("greyzone.training")))
def test_training_imports_no_stage(module):
    met = {stage_of(name) for name in imports(MODULES[module]) if name.startswith("greyzone.")} - {None}
    assert met <= FOUNDATIONS | {"doctrine", "models", "eval"}


def test_no_import_cycles():
    graph = {name: {met for met in imports(file, top_only=True) if met in MODULES and met != name} for name, file in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name in done:
            return
        for met in sorted(graph[name]):
            if not name.startswith(met + "."):
                visit(met, (*path, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_hdbscan_only_in_hierarchy_and_heavy_packages_behind_doors():
    for module, file in MODULES.items():
        met = {name.split(".")[0] for name in imports(file)}
        top = {name.split(".")[0] for name in imports(file, top_only=True)}
        assert "hdbscan" not in met or module == "greyzone.cluster.hierarchy"
        assert not top & {"torch", "transformers", "sentence_transformers", "datasets"}, module


def test_every_package_is_listed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {
        ".".join([package, *path.relative_to(ROOT / home).parts])
        for home, package in HOMES.items()
        for path in [ROOT / home, *(ROOT / home).rglob("*")]
        if path.is_dir() and path.name != "__pycache__" and any(item.is_file() for item in path.iterdir())
    }
    assert folders == listed


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {item.split(">=")[0].lower().replace("_", "-") for item in named} <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()


def test_forbidden_file_names():
    assert not {"models.py", "training.py", "eval.py", "types.py", "profile.py"} & {file.name for file in (ROOT / "nlp").iterdir()}


def code_lines(function: ast.AST) -> int:
    docstring = ast.get_docstring(function, clean=False) or ""
    return function.end_lineno - function.lineno + 1 - len(docstring.splitlines())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_and_functions_stay_readable(module):
    source = MODULES[module].read_text("utf-8")
    assert len(source.splitlines()) <= 500, "split the file by its ideas"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert code_lines(node) <= 70, f"{node.name} has {code_lines(node)} lines"
            commands = module.startswith("greyzone.cli.")
            count = len(node.args.args) + len(node.args.kwonlyargs) - sum(argument.arg in {"self", "cls"} for argument in node.args.args)
            # The settings of an estimator are the parameters of its constructor: scikit-learn knows no other way.
            settings = node.name == "__init__" and not node.args.args[1:]
            assert commands or settings or count <= 10, f"{node.name} has {count} parameters"
        if isinstance(node, ast.ClassDef):
            assert sum(isinstance(item, ast.FunctionDef) for item in node.body) <= 18, node.name


def test_import_greyzone_is_light():
    script = "import sys, greyzone; print(sorted(set(sys.modules) & {'torch', 'transformers', 'sklearn', 'pyarrow', 'numpy', 'pandas'}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_loads_nothing_heavy():
    script = (
        "import sys; sys.argv=['greyzone','--help']\n"
        "from greyzone.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted(set(sys.modules) & {'torch', 'transformers', 'sklearn', 'pyarrow', 'pandas', 'scipy'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
