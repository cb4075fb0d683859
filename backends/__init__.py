"""One small file a kind of device; importing one loads no framework."""
