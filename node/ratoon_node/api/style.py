"""The style of the pages: one sheet, no picture, no font from elsewhere, light and dark."""

from __future__ import annotations

import hashlib

STYLE = """\
:root {
  color-scheme: light dark;
  --ink: #1b211d; --dim: #59635d; --paper: #f6f5f0; --card: #ffffff; --line: #e2e0d6;
  --accent: #256239; --tint: #e9f1e9; --warn: #7d4b00; --warn-tint: #fbf1dd;
  --c0: #2f6b3f; --c1: #7a4b21; --c2: #2b5f87; --c3: #7b3f6e; --c4: #8a3d34; --c5: #4d5a24;
  --c6: #3f4f8c; --c7: #27676a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8e2; --dim: #a0aaa3; --paper: #121513; --card: #1a1e1b; --line: #2f3631;
    --accent: #8fd0a0; --tint: #1e2a21; --warn: #e8bd74; --warn-tint: #2b2415;
    --c0: #3f7d50; --c1: #8f6035; --c2: #41749c; --c3: #915683; --c4: #a1554c; --c5: #66743a;
    --c6: #5868a6; --c7: #3d7d80;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
}
main, footer, .top .inside { max-width: 43rem; margin-inline: auto; padding-inline: 1rem; }
a { color: var(--accent); text-underline-offset: 0.18em; text-decoration-thickness: 1px; }
a:focus-visible, summary:focus-visible, input:focus-visible, select:focus-visible,
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; inset-inline-start: -100vw; }
.skip:focus { position: fixed; inset: 0.5rem auto auto 0.5rem; padding: 0.5rem 1rem;
  background: var(--card); z-index: 1; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

.top { background: var(--card); border-block-end: 1px solid var(--line); }
.top .inside { display: flex; flex-wrap: wrap; align-items: center;
  justify-content: space-between; gap: 0.1rem 1.5rem; padding-block: 0.6rem; }
.brand { font-weight: 700; font-size: 1.1rem; color: var(--ink); text-decoration: none; }
.brand::before { content: ""; display: inline-block; width: 0.6em; height: 0.6em;
  margin-inline-end: 0.45em; background: var(--accent); border-radius: 0 100% 0 100%; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem; list-style: none; margin: 0; padding: 0; }
.top nav a, .tabs a { display: block; padding: 0.3rem 0.7rem; border-radius: 0.5rem;
  color: var(--dim); text-decoration: none; font-size: 0.95rem; }
.top nav { margin-inline-start: -0.7rem; }
.top nav a:hover, .tabs a:hover { color: var(--ink); background: var(--tint); }
.top nav a[aria-current], .tabs a[aria-current] { color: var(--accent); font-weight: 600;
  background: var(--tint); }

main { padding-block: 1.25rem 2rem; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0.5rem 0 0.4rem; letter-spacing: -0.01em; }
h1.title { font-size: 1.2rem; color: var(--dim); font-weight: 600; margin-block-end: 0.75rem; }
h2 { font-size: 1.1rem; line-height: 1.3; margin: 2rem 0 0.75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 0.5rem; }
p { margin: 0.5rem 0; }
.lead { color: var(--dim); margin-block-end: 1.25rem; }
.quiet, .meta { color: var(--dim); }
.meta { font-size: 0.875rem; }
.note { color: var(--warn); font-size: 0.9rem; }
.mark { font: 0.8em ui-monospace, "DejaVu Sans Mono", monospace; color: var(--dim); }
.notice { background: var(--card); border: 1px solid var(--line); border-radius: 0.75rem;
  padding: 1.5rem; color: var(--dim); text-align: center; }

.card { background: var(--card); border: 1px solid var(--line); border-radius: 0.75rem;
  padding: 0.9rem 1rem 0.8rem; margin: 0 0 0.75rem; }
.card > :last-child { margin-block-end: 0; }
.card:target { border-color: var(--accent); }
.by { display: flex; gap: 0.7rem; align-items: center; }
.line { flex: 1; min-width: 0; line-height: 1.4; }
.names a { text-decoration: none; color: var(--ink); }
.names a:hover .who { text-decoration: underline; }
.who { font-weight: 650; }
.handle { color: var(--dim); font-size: 0.9rem; }
.handle span { color: var(--accent); }
.when { display: block; font-size: 0.85rem; color: var(--dim); }
.when a { color: inherit; text-decoration: none; }
.when a:hover { text-decoration: underline; }
.alike { font-size: 0.75rem; font-weight: 600; color: var(--warn); background: var(--warn-tint);
  border: 1px solid currentColor; border-radius: 1rem; padding: 0.05rem 0.5rem;
  white-space: nowrap; }
.face { flex: none; width: 2.5rem; height: 2.5rem; border-radius: 50%; display: grid;
  place-items: center; color: #fff; font-weight: 700; background: var(--c0); }
.face::before { content: attr(data-letter); }
.c1 { background: var(--c1); } .c2 { background: var(--c2); } .c3 { background: var(--c3); }
.c4 { background: var(--c4); } .c5 { background: var(--c5); } .c6 { background: var(--c6); }
.c7 { background: var(--c7); }
.words { white-space: pre-wrap; unicode-bidi: plaintext; margin: 0.6rem 0; }
.long .words { max-height: 15.5em; overflow: hidden; }
.all { font-size: 0.9rem; }
.counts { font-size: 0.875rem; color: var(--dim); margin-block: 0.6rem 0; }
.counts a { color: inherit; text-decoration: none; }
.counts a:hover { text-decoration: underline; }
.emoji { white-space: nowrap; }
.media { border: 1px dashed var(--line); border-radius: 0.5rem; padding: 0.6rem 0.8rem;
  font-size: 0.95rem; }
.shown { margin: 0.7rem 0 0.4rem; }
.inner { background: none; margin: 0; padding: 0.7rem 0.85rem; }
.inner .face { width: 1.75rem; height: 1.75rem; font-size: 0.8rem; }
.gone { border: 1px dashed var(--line); border-radius: 0.75rem; padding: 0.6rem 1rem;
  margin: 0 0 0.75rem; font-size: 0.9rem; }
.gone a { color: var(--dim); text-decoration: none; }
summary { cursor: pointer; }
.warned { margin: 0.6rem 0; }
.warned > summary { color: var(--warn); background: var(--warn-tint); border-radius: 0.5rem;
  padding: 0.4rem 0.8rem; }
.uninvited > summary { color: var(--dim); font-size: 0.9rem; margin-block-end: 0.6rem; }
.poll { list-style: none; padding: 0; margin: 0.7rem 0 0.4rem; }
.poll li { margin-block-end: 0.5rem; }
progress { display: block; width: 100%; height: 0.45rem; margin-block-start: 0.2rem; border: 0;
  border-radius: 1rem; background: var(--line); accent-color: var(--accent); overflow: hidden;
  appearance: none; }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--accent); }
progress::-moz-progress-bar { background: var(--accent); }

.focus > .card { border-color: var(--accent); padding: 1.1rem 1.2rem; }
.focus > .card > .words, .focus > .card > .warned > .words { font-size: 1.2rem;
  line-height: 1.5; }
.above { border-inline-start: 3px solid var(--line); padding-inline-start: 0.75rem;
  margin-block-end: 0.75rem; }
ul.replies { list-style: none; margin: 0; padding: 0; }
ul.replies ul.replies { border-inline-start: 2px solid var(--line);
  padding-inline-start: clamp(0.5rem, 2.5vw, 1.1rem); margin-inline-start: 0.25rem; }
ul.people, ul.trends, ul.nodes, ol.versions { list-style: none; margin: 0; padding: 0; }
ul.trends li, ul.nodes li { padding: 0.45rem 0; border-block-end: 1px solid var(--line); }
ol.versions h2 { margin: 1.25rem 0 0.1rem; }

.person { display: flex; gap: 1rem; align-items: center; }
.person > div { min-width: 0; }
.person .face { width: 4rem; height: 4rem; font-size: 1.6rem; }
.person h1 { margin: 0; }
.person p { margin: 0.1rem 0; }
.account { line-height: 1.3; }
.account b { color: var(--ink); }
.tabs { border-block-end: 1px solid var(--line); padding-block-end: 0.5rem;
  margin: 1.25rem 0 1rem; }
dl.facts { margin: 0.75rem 0; }
dl.facts > div { display: grid; grid-template-columns: minmax(7rem, 11rem) 1fr; gap: 0 1rem;
  padding: 0.4rem 0; border-block-end: 1px solid var(--line); }
dl.facts dt { color: var(--dim); }
dl.facts dd { margin: 0; }
.turn { display: flex; flex-wrap: wrap; gap: 0.75rem; justify-content: space-between;
  margin: 1.5rem 0; }
.turn a, .onward a, button { display: inline-block; padding: 0.5rem 1rem; border-radius: 0.6rem;
  border: 1px solid var(--line); background: var(--card); text-decoration: none; }
.turn a:hover, .onward a:hover { border-color: var(--accent); }

.search { margin-block: 1rem 1.5rem; }
.search label[for] { display: block; font-weight: 600; margin-block-end: 0.3rem; }
.ask { display: flex; gap: 0.5rem; }
input, select, button { font: inherit; color: inherit; }
input, select { background: var(--card); border: 1px solid var(--dim); border-radius: 0.6rem;
  padding: 0.5rem 0.75rem; }
.ask input { flex: 1; min-width: 0; }
button { background: var(--accent); border-color: var(--accent); color: var(--card);
  font-weight: 600; cursor: pointer; }
.choices { display: flex; flex-wrap: wrap; gap: 0.5rem 1.25rem; margin-block: 0.75rem; }
.choices select { padding: 0.25rem 0.5rem; }

footer { padding-block: 1rem 3rem; color: var(--dim); font-size: 0.875rem; }
footer::before { content: ""; display: block; border-block-start: 1px solid var(--line);
  margin-block-end: 1rem; }
@media (max-width: 30rem) {
  dl.facts > div { grid-template-columns: 1fr; }
  .card { padding: 0.8rem 0.85rem 0.7rem; }
  .person { align-items: flex-start; }
  .person .face { width: 3rem; height: 3rem; font-size: 1.25rem; }
}
@media print { .top nav, .skip, .turn, .tabs, footer { display: none; } body { background: #fff; } }
"""

#: The sheet's address changes with its content, so that it may be cached for ever.
STYLE_PATH = f"/style-{hashlib.sha256(STYLE.encode()).hexdigest()[:12]}.css"
