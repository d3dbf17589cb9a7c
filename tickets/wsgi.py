"""``tickets.wsgi:app`` for a WSGI server of one's own; settings come from environment and file.

Run ``tickets migrate`` first, and let each process import this after the fork (no preload).
``tickets serve`` brings a server that also answers malformed requests in JSON, keeps slow
clients off the threads and ends long polls when it stops.
"""

from __future__ import annotations

import os

from tickets.app import create_app, open_database
from tickets.clock import SystemClock
from tickets.config import load_settings

_settings = load_settings({}, os.environ)
app = create_app(open_database(_settings), _settings, SystemClock())
app.start()
