"""The subcommands of `assay`, one file each, imported when called."""
