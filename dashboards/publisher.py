"""A plug-in of asv: `asv publish` and `asv gh-pages` make the dashboard that `assay publish` does.

In asv.conf.json: `"plugins": [".dashboards.publisher"]`. The dot lets asv import it by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asv.publishing import OutputPublisher
from asv.util import UserError

from harness.errors import AssayError


class Dashboard(OutputPublisher):  # type: ignore[misc]  # asv ships no types
    """Repairs asv's pages, and puts ours beside them where there are stored results."""

    name = "assay"
    button_label = "Overview"
    description = "What changed, what failed, and each result in full"
    # After asv's own, whose order is at most 3: the feed is theirs. Only asv's index.json and
    # info.json are written later, and nothing here reads or writes them.
    order = 100

    @classmethod
    def publish(
        cls, conf: Any, repo: object, benchmarks: object, graphs: object, revisions: object
    ) -> None:
        """Change the dashboard in `conf.html_dir`; asv calls it in the folder of asv.conf.json.

        Raises:
            UserError: asv's files are not those of the release that this was written for, or the
                stored results cannot be read; asv prints its one line.
        """
        try:
            _publish(Path(conf.html_dir), conf.project, Path(conf.repo))
        except AssayError as error:
            raise UserError(str(error)) from error


def _publish(html: Path, project: str, repo: Path) -> None:
    # asv loads its plug-ins for every command; only this one needs what the pages need.
    from dashboards.asv_pages import make_whole
    from dashboards.asv_select import select
    from dashboards.commands import current_versions
    from dashboards.pages import collect, write_pages
    from dashboards.site import CACHE, make_work_folder
    from harness import config
    from harness.registry import installed
    from harness.tables import baselines_of

    baselines = dict(baselines_of(installed()))
    work = Path(".asv")
    make_work_folder(work)
    stored = collect(config.load().results, work / CACHE, baselines=baselines)
    make_whole(html, own_pages=bool(stored.entries))
    if not stored.entries:
        return
    write_pages(
        stored,
        html,
        project=project,
        left_out=select(stored.cases(), current_versions()).left_out,
        problems=stored.problems,
        repo=repo if repo.is_dir() else None,
        baselines=baselines,
    )
