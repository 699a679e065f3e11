"""Reading the world's own servers as their operator: loopback, no proxy of the environment in between."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

TIMEOUT_S = 10.0


def get_json(url: str) -> Any:
    """The JSON at `url`; `OSError` or `ValueError` where there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=TIMEOUT_S) as reply:
        return json.load(reply)
