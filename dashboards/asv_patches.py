"""What is changed in the files that asv 0.6.6 copies to its dashboard, and why.

Each patch names a text that must stand in its file exactly once. A release that says it otherwise
is told by name, instead of being changed at the wrong place or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import AssayError

VERSION = "0.6.6"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""No script but the published files runs. asv's pages set styles in their markup."""

LINKS = (
    ("Overview", "index.html"),
    ("Workloads", "workload.html"),
    ("Devices", "devices.html"),
    ("Runs", "run.html"),
)


@dataclass(frozen=True, slots=True)
class Patch:
    """One place in one of asv's files.

    Attributes:
        file: its path in asv's dashboard.
        anchor: what must stand there exactly once.
        replacement: what stands there afterwards.
    """

    file: str
    anchor: str
    replacement: str


def patched(text: str, patch: Patch) -> str:
    """Return a file's text with one patch.

    Raises:
        AssayError: the anchor does not stand there exactly once, as after a new asv release.
    """
    count = text.count(patch.anchor)
    if count != 1:
        first = patch.anchor.strip().splitlines()[0]
        raise other_page(patch.file, f"{first!r} stands there {count} times instead of once")
    return text.replace(patch.anchor, patch.replacement)


def other_page(file: str, what: str) -> AssayError:
    """Return the refusal of a file that this was not written for."""
    return AssayError(
        f"asv's {file} is not that of asv {VERSION}: {what}; install 'asv=={VERSION}' or report it"
    )


PAGE = (
    Patch("index.html", "<html>", '<html lang="en">'),
    # Phones lay the page out for their own width; nothing but the published scripts runs.
    Patch(
        "index.html",
        '<meta http-equiv="Content-Type" content="text/html; charset=utf-8">',
        '<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\n'
        f'    <meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '    <meta name="viewport" content="width=device-width, initial-scale=1">',
    ),
    # It answers scripts that the network does not give; they lie beside the page now.
    Patch(
        "index.html",
        '    <script type="text/javascript">\n'
        "      function js_load_failure() {\n"
        '        window.location = "error.html";\n'
        "      }\n"
        "    </script>\n",
        "",
    ),
    Patch(
        "index.html",
        '<link href="summarylist.css" rel="stylesheet" type="text/css"/>',
        '<link href="summarylist.css" rel="stylesheet" type="text/css"/>\n'
        '    <link href="repairs/asv.css" rel="stylesheet" type="text/css"/>',
    ),
)

NAVIGATION = Patch(
    "index.html",
    '<li id="nav-li-" class="active">',
    "".join(f'<li><a href="{page}">{name}</a></li>\n        ' for name, page in LINKS)
    + '<li id="nav-li-" class="active">',
)
"""Only where these pages are published too."""

SCRIPTS = (
    # Bars start at 0, or the least one has no height; only seconds and bytes did.
    Patch(
        "graphdisplay.js",
        "        options.yaxis.min = min;\n        options.yaxis.max = max;\n",
        "        options.yaxis.min = x_coordinate_is_category ? 0 : min;\n"
        "        options.yaxis.max = max;\n",
    ),
    # Where the x axis is a parameter its values are no revisions, though some may look like one.
    Patch(
        "graphdisplay.js",
        "        // Return the commit hash in the current graph located at position x\n",
        "        // Return the commit hash in the current graph located at position x\n"
        "        if (x_coordinate_axis != 0) {\n            return undefined;\n        }\n",
    ),
    Patch(
        "graphdisplay.js",
        "                    if (commit_hash) {\n",
        "                    if (commit_hash || x_coordinate_axis != 0) {\n",
    ),
    Patch(
        "graphdisplay.js",
        '$.asv.pretty_unit(y, unit) + " @ " + commit_hash);',
        '$.asv.pretty_unit(y, unit) + (commit_hash ? " @ " + commit_hash : ""));',
    ),
    # Where points are close the mouse leaves none between two; the text stayed the first one's.
    Patch(
        "graphdisplay.js",
        "            tooltip\n                .css({\n",
        '            tooltip.tooltip("destroy");\n            tooltip\n                .css({\n',
    ),
    # A project without a page for each commit has nothing to open.
    Patch(
        "graphdisplay.js",
        "                        if (previous_hash !== commit_hash) {\n",
        "                        if (commit_hash && previous_hash !== commit_hash &&\n"
        "                                $.asv.main_json.show_commit_url !== '#') {\n",
    ),
    # Revisions are numbers: 9 comes before 10.
    Patch(
        "graphdisplay.js",
        "            revisions.sort();\n",
        "            revisions.sort(function(a, b) { return a - b; });\n",
    ),
    # A canvas has more pixels than its place where the screen is finer; the label went below it.
    Patch(
        "jquery.flot.axislabels.js",
        "y = plot.getCanvas().height;",
        "y = plot.getPlaceholder().height();",
    ),
    # An anchor that is no benchmark, such as an old link, leads to the grid and not to an error.
    Patch(
        "asv.js",
        "            info.params['benchmark'] = info.location[0];\n"
        "            show_page('graphdisplay', info.params);\n",
        "            info.params['benchmark'] = info.location[0];\n"
        "            var known = $.inArray(info.location[0], Object.keys(main_json.benchmarks));\n"
        "            show_page(known >= 0 ? 'graphdisplay' : '', info.params);\n",
    ),
    # A quantity that was never measured has no last commit.
    Patch(
        "asv.js",
        "                time_idx = raw_series.length - 1;\n",
        "                time_idx = raw_series.length - 1;\n"
        "                if (time_idx < 0) {\n                    return [];\n                }\n",
    ),
    # What is ignored on one machine is not ignored on the others.
    Patch(
        "regressions.js",
        "        var ignore_payload = benchmark_name;\n",
        "        var ignore_payload = benchmark_name +\n"
        "            ($.isEmptyObject(item[2]) ? '' : JSON.stringify(item[2]));\n",
    ),
)
