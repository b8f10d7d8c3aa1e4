"""Long runs, each started by ``python -m validation.scripts.NAME`` or by `validation.verify`."""
