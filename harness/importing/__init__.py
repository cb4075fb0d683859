"""Takes what other benchmarking tools measured into the store, with its samples."""

from harness.importing.files import Imported, Report, import_files

__all__ = ["Imported", "Report", "import_files"]
