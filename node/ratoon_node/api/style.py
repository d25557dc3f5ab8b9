"""The style of the pages: one sheet, no picture, no font from elsewhere, light and dark."""

from __future__ import annotations

import hashlib

STYLE = """\
:root {
  color-scheme: light dark;
  --ink: #1d2320; --dim: #5c6660; --paper: #fbfaf6; --card: #ffffff; --line: #e0ded4;
  --accent: #2f6b3f; --warn: #8a5a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e9e4; --dim: #9aa59e; --paper: #141816; --card: #1c211e; --line: #303732;
    --accent: #86c795; --warn: #e0b060;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 0 1rem 4rem; max-width: 42rem; background: var(--paper);
  color: var(--ink); font: 1.0625rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans",
    sans-serif; overflow-wrap: anywhere;
}
a { color: var(--accent); text-underline-offset: 0.15em; }
a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 2px; }
header.top {
  display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; align-items: baseline;
  padding: 1.25rem 0 0.75rem; border-bottom: 1px solid var(--line); margin-bottom: 1.25rem;
}
header.top .brand { font-weight: 700; font-size: 1.15rem; text-decoration: none; }
header.top .what { color: var(--dim); font-size: 0.9rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.75rem; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem;
  padding: 0.9rem 1.1rem; margin: 0 0 0.8rem;
}
.card p, .card ul { margin: 0.35rem 0; }
.card .meta { margin: 0 0 0.35rem; }
.meta { color: var(--dim); font-size: 0.875rem; margin: 0 0 0.35rem; }
.meta a { text-decoration: none; }
.meta .who { color: var(--ink); font-weight: 600; }
.mark { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.8em; }
.words { margin: 0.35rem 0; white-space: pre-wrap; }
.large .words { font-size: 1.25rem; }
.long .words { max-height: 15.5em; overflow: hidden; }
.large .long .words { max-height: none; }
.large .all { display: none; }
.all { font-size: 0.9rem; }
.note { color: var(--warn); font-size: 0.9rem; margin: 0.35rem 0; }
.quiet { color: var(--dim); }
details summary { cursor: pointer; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1.2rem; margin: 0; }
dl.facts dt { color: var(--dim); }
dl.facts dd { margin: 0; }
nav.more { margin: 1.5rem 0; }
footer {
  border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 0.9rem;
  color: var(--dim); font-size: 0.875rem;
}
@media (max-width: 30rem) {
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: 0.5rem; }
}
"""

#: The sheet's address changes with its content, so that it may be cached for ever.
STYLE_PATH = f"/style-{hashlib.sha256(STYLE.encode()).hexdigest()[:12]}.css"
