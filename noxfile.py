"""Every task of the project; each also runs in the calling environment with `nox --no-venv`."""

from __future__ import annotations

import os
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "docs"]


def install(session: nox.Session, *requirements: str) -> None:
    """Install through the constraints file; with --no-venv the caller's environment is used."""
    if session.venv_backend != "none":
        session.install("-c", "constraints.txt", *requirements)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; what follows -- goes to pytest."""
    install(session, "-e", ".[torch,dashboards,dev]")
    session.run("pytest", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long tests that CI does not, and record how often the verdicts are wrong: hours."""
    install(session, "-e", ".[torch,dashboards,dev,benchmarks]")
    install(session, "--no-deps", "apache-otava==0.8.0")
    session.run("pytest", "-m", "soak", *session.posargs)
    session.run("python", "benchmarks/ab.py", "slower")
    session.run("python", "benchmarks/ab.py", "equal")
    session.run("python", "benchmarks/detection.py")


@nox.session
def verdicts(session: nox.Session) -> None:
    """Fail where `assay ab` or `assay detect` is wrong too often; the short forms of `soak`'s."""
    install(session, "-e", ".[dashboards]")
    session.run("python", "benchmarks/detection.py", "--quick")
    session.run("python", "benchmarks/ab.py", "slower", "--tries", "3", "--quick")
    session.run("python", "benchmarks/ab.py", "equal", "--repeats", "1", "--series", "2", "--quick")
    # As a user would, with an environment that is made for the commit's dependencies.
    folder = session.create_tmp()
    command = ("assay", "ab", "HEAD", "HEAD", "-w", "msrep", "--variant", "scipy")
    limits = ("-p", "matrix=rmat", "--budget", "90s", "--results", f"{folder}/results")
    session.run(*command, *limits, env={"ASSAY_CACHE": f"{folder}/cache"})


@nox.session
def torchfree(session: nox.Session) -> None:
    """Measure from a built package without torch: nothing but torch's own variants needs it."""
    install(session, ".")
    absent = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)"
    session.run("python", "-c", absent)
    session.run("assay", "run", "--processes", "1", "--results", f"{session.create_tmp()}/results")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types strictly."""
    install(session, "-e", ".[torch,dashboards,dev]")
    session.run("mypy")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure on this machine and publish the dashboard; what follows -- goes to `assay run`."""
    install(session, "-e", ".[torch,dashboards]")
    failure = None
    try:
        session.run("assay", "run", *session.posargs)
    except CommandFailed as error:
        # 1 says that a case failed: the dashboard still shows the others, and that one as failed.
        if error.return_code != 1:
            raise
        failure = error
    session.run("assay", "publish")
    folder = f"{os.path.relpath(session.bin)}/" if session.bin_paths else ""
    session.log(f"to open the dashboard: {folder}assay preview")
    if failure is not None:
        raise failure


@nox.session
def publish(session: nox.Session) -> None:
    """Publish the dashboard from the stored results; what follows -- goes to `assay publish`."""
    install(session, "-e", ".[dashboards]")
    session.run("assay", "publish", *session.posargs)


@nox.session
def microbench(session: nox.Session) -> None:
    """Time the harness's own overhead and the kernels with pytest-benchmark."""
    install(session, "-e", ".[torch,dashboards,dev]")
    session.run("pytest", "benchmarks", "-o", "python_files=bench_*.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; every warning is an error."""
    install(session, "-e", ".[docs]")
    target = Path(os.environ.get("DOCS_HTML", "docs/_build/html"))
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", str(target))
