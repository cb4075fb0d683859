"""Writes the starter project: the files below `starter/` with its name in place of theirs.

The files are a project that works as it stands, so that style, types and tests hold for them too.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
import unicodedata
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

from packaging.requirements import InvalidRequirement, Requirement

from harness.checkout import run_git
from harness.errors import AssayError

FILES = (
    "README.md",
    "pyproject.toml",
    "assay.toml",
    "asv.conf.json",
    "noxfile.py",
    ".gitignore",
    ".github/workflows/nightly.yml",
    "starter_bench/__init__.py",
    "starter_bench/workload.py",
    "starter_bench/variants.py",
    "starter_bench/reference.py",
    "tests/test_conformance.py",
    "benchmarks/__init__.py",
)
"""What the project consists of; what a test run leaves beside them is none of it."""

_TEMPLATES = Path(__file__).with_name("starter")
_NAME, _MODULE, _REQUIREMENT = "starter-bench", "starter_bench", "assay-requirement"

_TAKEN = frozenset(
    ("assay", "benchmarks", "tests", "results", "nox", "pytest", "torch", "numba", "heat", "msrep")
)
"""What a project of this name would hide, besides the modules that are installed here."""

_MAX_NAME = 80
_GIT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Project:
    """What is to be written.

    Attributes:
        name: the distribution's.
        module: the Python package's, and the workload's.
        requirement: on which Assay it depends, as pip takes it.
        local: whether that is a folder of this machine.
    """

    folder: Path
    name: str
    module: str
    requirement: str
    local: bool


def describe(folder: Path, spec: str | None = None) -> Project:
    """Return the project that a folder is to hold.

    Args:
        folder: where it is to be; new, or empty but for `.git`.
        spec: a pip requirement of Assay, a URL of it as pip takes it, or a folder that holds it;
            without it, the one that is running.

    Raises:
        AssayError: the folder holds something, or `spec` names no Assay.
    """
    _refuse_what_is_there(folder)
    name = distribution_name(folder.resolve().name)
    requirement = _with_dashboards(_running() if spec is None else _given(spec))
    local = requirement.url is not None and requirement.url.startswith("file:")
    # It becomes a TOML string; markers take either quotes.
    text = str(requirement).replace('"', "'")
    return Project(folder, name, module_name(name), text, local)


def distribution_name(text: str) -> str:
    """Return the text as a name that pip takes: letters, digits and single dashes.

    What pip or Python has another use for gets `-bench` after it.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_NAME].strip("-") or "bench"
    return f"{name}-bench" if _is_taken(name.replace("-", "_")) else name


def module_name(name: str) -> str:
    """Return the Python package's name for a distribution's."""
    module = name.replace("-", "_")
    return f"bench_{module}" if module[0].isdigit() else module


def write(project: Project) -> int:
    """Write the project's files and return how many they are.

    Raises:
        AssayError: the folder cannot be written.
    """
    names = {_NAME: project.name, _MODULE: project.module, _REQUIREMENT: project.requirement}
    try:
        for file in FILES:
            text = (_TEMPLATES / file).read_text(encoding="utf-8")
            place = project.folder / file.replace(_MODULE, project.module)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_renamed(text, names), encoding="utf-8")
    except OSError as error:
        raise AssayError(
            f"cannot write {error.filename}: {error.strerror}; make it writable or choose another "
            "folder"
        ) from error
    return len(FILES)


def first_commit(folder: Path) -> str:
    """Make the folder a git repository with one commit; return in a line what came of it.

    Inside a repository nothing is done: what is committed there is its owner's affair.
    """
    later = "commit before `assay publish`: git add -A && git commit -m 'Start'"
    try:
        if _git(folder, "rev-parse", "--show-toplevel").returncode == 0:
            return f"inside a git repository already; {later}"
        message = ("--message", "Start with the project that assay init wrote")
        for arguments in (
            ("init", "--quiet"),
            ("add", "--all"),
            ("commit", "--quiet", "--no-gpg-sign", *message),
        ):
            done = _git(folder, *arguments)
            if done.returncode != 0:
                lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
                return f"git {arguments[0]} failed ({lines[-1] if lines else ''}); {later}"
    except (OSError, TimeoutExpired) as error:
        return f"git does not answer ({error}); {later}"
    return "made it a git repository with a first commit"


def _refuse_what_is_there(folder: Path) -> None:
    try:
        there = [path for path in folder.iterdir() if path.name != ".git"]
    except FileNotFoundError:
        return
    except OSError as error:
        raise AssayError(f"{folder}: {error.strerror}; choose a new folder") from error
    if there:
        raise AssayError(f"{folder} is not empty: it holds {there[0].name}; choose a new folder")


def _is_taken(module: str) -> bool:
    return (
        keyword.iskeyword(module)
        or keyword.issoftkeyword(module)
        or module in sys.stdlib_module_names
        or module in _TAKEN
        or find_spec(module) is not None
    )


def _running() -> Requirement:
    """Return the requirement that gives the Assay that is running, wherever pip got it from."""
    assay = distribution("assay")
    url = _direct_url(assay)
    # Its own name in an index may be another project's: only where it came from is sure.
    return Requirement(f"assay>={assay.version}" if url is None else f"assay @ {url}")


def _direct_url(installed: Distribution) -> str | None:
    """Return the URL that pip recorded, None for a package of an index.

    The Python Packaging User Guide, "Recording the Direct URL Origin of installed distributions".
    """
    recorded = installed.read_text("direct_url.json")
    if recorded is None:
        return None
    origin = json.loads(recorded)
    if "vcs_info" not in origin:
        return str(origin["url"])
    vcs = origin["vcs_info"]
    return f"{vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"


def _given(spec: str) -> Requirement:
    folder = Path(spec).expanduser()
    if spec and folder.is_dir():
        spec = f"assay @ {folder.resolve().as_uri()}"
    elif re.match(r"[a-z+]+://", spec):
        spec = f"assay @ {spec}"
    try:
        requirement = Requirement(spec)
    except InvalidRequirement:
        raise AssayError(
            f"{spec!r} names no Assay; give a requirement such as 'assay>=0.1', a URL such as "
            "git+https://..., or the folder of a clone"
        ) from None
    if requirement.name.lower() != "assay":
        raise AssayError(f"{spec!r} is another project than assay; give a requirement of assay")
    return requirement


def _with_dashboards(requirement: Requirement) -> Requirement:
    requirement.extras.add("dashboards")  # what publishes
    return requirement


def _renamed(text: str, names: dict[str, str]) -> str:
    # At once, so that no name that is put in is taken for one to be replaced.
    return re.sub("|".join(names), lambda found: names[found[0]], text)


def _git(folder: Path, *arguments: str) -> CompletedProcess[bytes]:
    return run_git(folder, *arguments, timeout_s=_GIT_TIMEOUT_S)
