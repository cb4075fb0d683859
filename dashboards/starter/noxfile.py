"""Every task of the project; each also runs in the calling environment with `nox --no-venv`."""

from __future__ import annotations

import nox

nox.options.sessions = ["tests"]


@nox.session
def tests(session: nox.Session) -> None:
    """Check that the workloads keep Assay's contract."""
    _install(session)
    session.run("pytest", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure on this machine and publish the pages; what follows -- goes to `assay run`."""
    _install(session)
    # 1 says that a case failed: the pages show the others, and that one as failed.
    options = session.posargs or ("-w", "starter_bench")
    session.run("assay", "run", *options, success_codes=[0, 1])
    session.run("assay", "publish")


@nox.session
def nightly(session: nox.Session) -> None:
    """Measure, detect, publish and sum up; what follows -- goes to `assay nightly`."""
    _install(session)
    session.run("assay", "nightly", *session.posargs)


@nox.session
def publish(session: nox.Session) -> None:
    """Publish the pages from the stored results; what follows -- goes to `assay publish`."""
    _install(session)
    session.run("assay", "publish", *session.posargs)


def _install(session: nox.Session) -> None:
    if session.venv_backend != "none":
        session.install("-e", ".[dev]")
