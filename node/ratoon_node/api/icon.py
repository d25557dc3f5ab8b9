"""The sign of a node in a browser's tab: a shoot from a stump, 32 by 32 points."""

from __future__ import annotations

from base64 import b64decode

ICON_PATH = "/favicon.ico"
ICON_TYPE = "image/png"
ICON = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAgMAAAAOFJJnAAAACVBMVEUAAAAvaz/09+6dsZOBAAAAAXRSTlMAQObY"
    "ZgAAAHdJREFUeNp90LsVwCAIBVAsHMF9MkKKYOEI7uMIKcKUeU/8pIqN9yggKCIST+krqroUi3sgDiAR17jpdxMM"
    "yYYgJGsxFCAqkXAOXMRtA8+E2QOoAg2FiKYddaI48HhufP4H0XFuBLSFfHTv+Da/xlkDrpH3J/i3vORhTCo7qj71"
    "AAAAAElFTkSuQmCC"
)
