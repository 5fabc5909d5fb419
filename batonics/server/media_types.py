"""The media types of answers."""

from __future__ import annotations

JSON_MEDIA = "application/json"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
