"""Makes Python environments for `assay ab` and installs commits apart from them, both with pip."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from harness import side_cache
from harness.errors import AssayError
from harness.side_projects import Project, parse_requirements, without


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment without the project that is measured in it.

    Attributes:
        python: its interpreter.
        key: 16 hexadecimal digits, equal for equal environments.
        abi: what compiled modules must be built for, such as "cpython-311-x86_64-linux-gnu".
    """

    python: Path
    key: str
    abi: str


def existing_environment(path: str) -> Environment | None:
    """Return the environment at the path of its folder or interpreter; None where there is none.

    Raises:
        AssayError: it is a folder of something else, or its interpreter does not run.
    """
    # Not resolved: the interpreter of a virtual environment is a link to the one it was made with.
    place = Path(path).expanduser().absolute()
    python = place / "bin" / "python" if place.is_dir() else place
    if place.is_dir() and not python.exists():
        raise AssayError(
            f"{place} is a folder without bin/python; name a virtual environment, or write a "
            "package of that name with its version"
        )
    if not python.is_file():
        return None
    try:
        abi, *rest = run([python, "-I", "-c", _ABI], lambda line: line).split()
    except AssayError as error:
        raise AssayError(f"{python} does not run as Python: {error}; name another") from error
    return Environment(python, digest([str(python), abi, *rest]), abi)


def hold_environment(
    project: Project, requirement: str | None, cache: Path, say: Callable[[str], None]
) -> tuple[Environment, int]:
    """Return an environment with the project's requirements and the descriptor that keeps it.

    Args:
        project: whose requirements are installed, its build's among them.
        requirement: more, which win over the project's constraints; None for no more.
        cache: the cache folder.
        say: is told what takes time.

    Raises:
        AssayError: the requirements are known to the build alone, or pip cannot install them.
    """
    if project.requires is None:
        raise AssayError(
            f"the dependencies of {project.folder} are computed by its build; install them in an "
            "environment of your own and name its folder with --environment"
        )
    more = parse_requirements(requirement) if requirement is not None else ()
    wanted = sorted({*project.build_requires, *project.requires}) + list(more)
    constraints = without(project.constraints, more)
    abi = str(sysconfig.get_config_var("SOABI"))
    # Where packages come from is a part of which they are: builds of torch differ by index alone.
    sources = {name: os.environ.get(name) for name in _INDEX_VARIABLES}
    python = [platform.python_version(), platform.python_implementation(), abi, sys.base_prefix]
    description = [python, wanted, constraints, sources]
    key = digest(description)
    folder = cache / side_cache.ENVIRONMENTS / key
    environment = Environment(folder / "bin" / "python", key, abi)

    def make() -> None:
        say(f"makes an environment of {len(wanted)} requirements in {folder}")
        side_cache.remove(folder)
        # Isolated, as pip is below: the current folder may hold modules of any name.
        run([sys.executable, "-I", "-m", "venv", folder], lambda line: _no_venv(folder, line))
        options: list[str | Path] = []
        if constraints:
            (folder / "constraints.txt").write_text(constraints, "utf-8", "surrogateescape")
            options = ["--constraint", folder / "constraints.txt"]
        # Python 3.11 puts a setuptools into new environments that cannot build wheels by itself.
        _pip(environment.python, "install", "--upgrade", *options, *wanted)
        side_cache.mark_complete(folder, json.dumps(description, indent=1))

    def complete() -> bool:
        # The interpreter is a link to one that may have been removed since.
        return side_cache.is_complete(folder) and environment.python.exists()

    return environment, side_cache.hold(folder, complete=complete, make=make, say=say)


def install_apart(environment: Environment, project: Project, source: Path, target: Path) -> None:
    """Build a project and install it in a folder of its own, without its dependencies.

    Args:
        environment: what it is built with and for.
        project: what is built.
        source: a copy of the project's folder that may be written to.
        target: the folder for PYTHONPATH.

    Raises:
        AssayError: no environment at hand can build it, or the build fails.
    """
    builder = _builder(environment, project.build_requires)
    with tempfile.TemporaryDirectory(dir=target.parent) as wheels:
        building: list[str | Path] = ["wheel", "--no-deps", "--no-build-isolation"]
        _pip(
            builder,
            *building,
            "--wheel-dir",
            wheels,
            source,
            try_instead=[*building, project.folder],
        )
        (wheel,) = Path(wheels).glob("*.whl")
        _check_abi(wheel, builder, environment, project)
        apart = ("--no-deps", "--no-index", "--no-compile", "--target", target)
        _pip(builder, "install", *apart, wheel)
    # By the interpreter that imports them, so that no first worker compiles what others find.
    compiling: list[str | Path] = [environment.python, "-I", "-m", "compileall", "-qq", target]
    subprocess.run(compiling, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def digest(value: object) -> str:
    """Return 16 hexadecimal digits of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def run(
    command: Sequence[str | Path],
    explain: Callable[[str], str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program and return what it prints.

    Args:
        command: the program and its arguments.
        explain: makes the error from the last meaningful line that the program printed.
        cwd: the folder it runs in.
        env: variables on top of this process's own, less those that lead Python elsewhere.

    Raises:
        AssayError: it cannot be started, or fails.
    """
    own = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env={**own, **(env or {})},
            check=False,
            close_fds=False,  # see `side_cache.hold`
        )
    except OSError as error:
        raise AssayError(explain(error.strerror or str(error))) from error
    if done.returncode != 0:
        said = _meaningful(f"{done.stdout}\n{done.stderr}")
        raise AssayError(explain(said or f"exit status {done.returncode}"))
    return done.stdout


_ABI = """\
import platform, sys, sysconfig
print(sysconfig.get_config_var("SOABI"), platform.python_version(), sys.base_prefix.encode().hex())
"""

_HAS = """\
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""

_INDEX_VARIABLES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_PRE",
)

# What leads Python or pip to other folders than the ones named to them.
_MISLEADING = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")


def _check_abi(wheel: Path, builder: Path, environment: Environment, project: Project) -> None:
    """Refuse compiled modules that were built by one interpreter for another."""
    own_abi = str(sysconfig.get_config_var("SOABI"))
    if builder == environment.python or environment.abi == own_abi:
        return
    if not wheel.stem.endswith("-none-any"):
        raise AssayError(
            f"{wheel.name} was built for {own_abi}, but {environment.python} is "
            f"{environment.abi}; install pip and {_spaced(project.build_requires)} there"
        )


def _pip(
    python: Path, *arguments: str | Path, try_instead: Sequence[str | Path] | None = None
) -> None:
    command: list[str | Path] = [python, "-I", "-m", "pip"]
    # What is tried by hand must not name a folder that is gone by then.
    shown = shlex.join(str(word) for word in [*command, *(try_instead or arguments)])
    env = {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_QUIET": "1",
        "PIP_USER": "0",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_NO_COLOR": "1",
        # Builds call programs that their requirements install.
        "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]),
    }
    run([*command, *arguments], lambda line: f"pip failed: {line}; try `{shown}`", env=env)


def _builder(environment: Environment, requires: Sequence[str]) -> Path:
    """Return the interpreter whose pip builds: the environment's own, or else the one that runs."""
    missing = {
        python: _missing(python, requires) for python in (environment.python, Path(sys.executable))
    }
    for python, names in missing.items():
        if not names:
            return python
    here, names = environment.python, missing[environment.python]
    tries = [f"{here} -m ensurepip"] if "pip" in names else []
    if others := [name for name in names if name != "pip"]:
        tries.append(f"{here} -m pip install {shlex.join(others)}")
    raise AssayError(
        f"{here} cannot build the project without {_spaced(names)}; try `{' && '.join(tries)}`"
    )


def _no_venv(folder: Path, line: str) -> str:
    return (
        f"cannot make an environment in {folder}: {line}; try `{sys.executable} -m venv {folder}` "
        "(Debian and Ubuntu ship it apart: `apt install python3-venv`)"
    )


def _missing(python: Path, requires: Sequence[str]) -> list[str]:
    """Return which of pip and the requirements the interpreter does not have."""
    wanted = [Requirement("pip"), *(Requirement(one) for one in requires)]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate()]
    names = [one.name for one in wanted]
    found = json.loads(
        run([python, "-I", "-c", _HAS, *names], lambda line: f"{python} does not run: {line}")
    )
    return [
        str(one)
        for one in wanted
        if found[one.name] is None or not one.specifier.contains(found[one.name], prereleases=True)
    ]


# What pip says around the error that counts, and below it.
_FRAMES = r"ResolutionImpossible|subprocess-exited|metadata-generation-failed|Failed building wheel"
_ADVICE = ("note:", "hint:", "╰─>")


def _meaningful(text: str) -> str:
    """Return the line of a failed program's output that says most; empty where there is none."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*error:", line, re.IGNORECASE)]
    own = [line for line in errors if not re.search(_FRAMES, line)]
    rest = [line for line in lines if not line.startswith(_ADVICE)]
    return (own or errors or rest or [""])[-1]


def _spaced(names: Sequence[str]) -> str:
    return " and ".join(names)
