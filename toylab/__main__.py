"""``python -m toylab`` is the ``toylab`` command."""

from toylab.cli import main

raise SystemExit(main())
