"""The shape of the house: imports go down only, and the page needs no torch to come up."""

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from studio.models.catalogue import Catalogue

ROOT = Path(__file__).resolve().parents[1]
LEVELS = (
    (
        "studio.errors",
        "studio.events",
        "studio.requests",
        "studio.model_requests",
        "studio.reader_requests",
        "studio.training_requests",
        "studio.settings",
        "studio.context",
        "studio.logs",
        "studio.password",
        "studio.people",
        "studio.audit",
    ),
    ("studio.store", "studio.models"),
    ("studio.diffusion", "studio.reader"),
    ("studio.training",),  # which makes its samples and reads its captions as pictures are made
    ("studio.jobs",),
    (
        "studio.accounts",
        "studio.engine",
        "studio.kinds",
        "studio.parts",
        "studio.device",
        "studio.cluster",
        "studio.workers",
        "studio.preparing",
        "studio.services",
        "studio.finding",
        "studio.surroundings",
        "studio.doctor",
    ),
    ("studio.api", "tabs", "studio.cli", "studio.container"),
    ("app",),
)
"""Lowest first; what stands on one level does not know its neighbours, but for `NEIGHBOURS`."""
NEIGHBOURS = (LEVELS[0], LEVELS[5], ("tabs", "studio.api"))
"""Groups within which imports may go sideways: the types, the two halves of the composition root
with what examines them, and the page, which is mounted together with its routes."""
HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate")
LONGEST_FILE = 450


def sources() -> list[Path]:
    """All files of the program itself."""
    found = [*ROOT.glob("studio/**/*.py"), *ROOT.glob("tabs/**/*.py"), ROOT / "app.py"]
    return sorted(file for file in found if file.is_file())


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in sources()}


@cache
def imports(module: str) -> tuple[tuple[str, int, bool], ...]:
    """What a module imports, anywhere in it: full name, line, whether only for type checkers."""
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            # `from studio.diffusion import tokens` is an import of the module, not of a name.
            names = [
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
                for alias in node.names
            ]
        found += [(name, node.lineno, id(node) in typing_only) for name in names]
    return tuple(found)


def place(module: str) -> tuple[int, str]:
    """A module's level and the unit it belongs to; the bare packages belong to the lowest."""
    for level, units in enumerate(LEVELS):
        for unit in units:
            if module == unit or module.startswith(f"{unit}."):
                return level, unit
    return 0, module


def own(module: str) -> bool:
    return module.partition(".")[0] in ("studio", "tabs", "app")


def test_every_module_has_its_place():
    homeless = [m for m in MODULES if place(m)[1] not in sum(LEVELS, ()) and m != "studio"]
    assert homeless == []


def test_imports_only_go_down():
    wrong = []
    for module, file in MODULES.items():
        level, unit = place(module)
        for name, line, _ in imports(module):
            if not own(name):
                continue
            other_level, other_unit = place(name)
            beside = any({unit, other_unit} <= set(group) for group in NEIGHBOURS)
            if other_level > level or (other_level == level and unit != other_unit and not beside):
                wrong.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


def test_every_own_import_names_a_module_that_is_there():
    wrong = [
        f"{module}:{line} {name}"
        for module in MODULES
        for name, line, _ in imports(module)
        if own(name) and name not in MODULES
    ]
    assert wrong == []


def test_no_import_cycle():
    edges = {
        module: {
            name for name, _, for_types in imports(module) if name in MODULES and not for_types
        }
        for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(edges[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def found(modules: str, names: tuple[str, ...]) -> list[str]:
    return [
        f"{module}:{line} {name}"
        for module in MODULES
        if module == modules or module.startswith(f"{modules}.")
        for name, line, _ in imports(module)
        if name.partition(".")[0] in names
    ]


def test_the_backend_never_imports_the_page():
    assert found("studio", ("gradio", "gradio_client", "tabs", "app")) == []


def test_the_product_knows_nothing_of_how_its_model_was_made():
    own = [(module, name) for module in MODULES for name, _, _ in imports(module)]
    assert [(m, name) for m, name in own if name.split(".")[0] in ("training", "judge")] == []


def test_tabs_never_touch_torch():
    assert found("tabs", (*HEAVY, "safetensors", "tokenizers", "numpy")) == []


def test_only_the_store_speaks_sql():
    outside = [
        hit for hit in found("studio", ("sqlalchemy", "sqlite3")) if "studio.store" not in hit
    ]
    assert outside == []
    assert found("tabs", ("sqlalchemy", "sqlite3")) == []


def test_the_types_need_neither_torch_nor_the_page():
    for unit in LEVELS[0]:
        assert found(unit, (*HEAVY, "gradio", "sqlalchemy", "numpy", "PIL")) == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("studio.services", (*HEAVY, "gradio", "fastapi", "uvicorn", "scipy", "pandas")),
        ("studio.cli", (*HEAVY, "gradio")),
        ("app", (*HEAVY, "gradio")),
        ("tabs.page", HEAVY),
    ],
)
def test_what_the_page_needs_comes_up_before_torch(module, absent, tmp_path):
    """In a process of its own, as in this one torch may be loaded already."""
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATELIER_")}
    environment |= {"PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    assert module in loaded
    assert loaded.isdisjoint(absent)
    assert list(tmp_path.iterdir()) == [], "importing must not write"


def test_no_tab_and_no_script_of_the_page_knows_the_embedded_models_size(embedded_id):
    entry = Catalogue(Path("/nonexistent")).get(embedded_id)
    number = re.compile(rf"\b({entry.width}|{entry.height})\b")
    files = [*(ROOT / "tabs").rglob("*.py"), *(ROOT / "assets" / "scripts").glob("*.js")]
    assert files
    assert [str(file) for file in files if number.search(file.read_text("utf-8"))] == []


def test_nothing_but_the_model_itself_knows_the_embedded_model(embedded_id):
    """Another one takes its place by a change of its folder only."""
    own_words = (ROOT / "assets" / "models", ROOT / "tests" / "judge")
    kinds = {".py", ".md", ".toml", ".yml", ".yaml", ".js", ".css", ".json", ".txt", ".sh", ""}
    folders = ("studio", "tabs", "assets", "tests", "benchmarks", "docs", ".ci", ".github")
    files = [file for file in ROOT.iterdir() if file.is_file()]
    files += [f for folder in folders for f in (ROOT / folder).rglob("*") if f.is_file()]
    guilty = [
        str(file.relative_to(ROOT))
        for file in files
        if file.suffix in kinds
        and not any(file.is_relative_to(folder) for folder in own_words)
        and file.name != "NOTICE"
        and embedded_id in file.read_text(encoding="utf-8", errors="ignore")
    ]
    assert guilty == []


def test_files_stay_short():
    files = [*sources(), *(ROOT / "tests").rglob("*.py")]
    lengths = {str(f.relative_to(ROOT)): len(f.read_text("utf-8").splitlines()) for f in files}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_every_public_thing_says_what_it_is():
    """Modules, and all public classes, functions and methods at their top."""
    mute = []
    for module, file in MODULES.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        public = [(module, tree)]
        for holder in (tree, *classes):
            if isinstance(holder, ast.ClassDef) and holder.name.startswith("_"):
                continue
            public += [
                (f"{module}.{node.name}", node)
                for node in holder.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
            ]
        mute += [name for name, node in public if not ast.get_docstring(node)]
    assert mute == []
