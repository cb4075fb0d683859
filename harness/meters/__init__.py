"""One file a source of readings; each meter follows `harness.protocols.Meter`."""
