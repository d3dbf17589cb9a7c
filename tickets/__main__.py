"""``python -m tickets`` is the console script."""

from __future__ import annotations

import sys

from tickets.cli import main

sys.exit(main())
