"""One HTML report from all documents."""

from __future__ import annotations

import html
import os
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asya_runtime import context

PALETTE = ["#3867d6", "#20bf6b", "#f7b731", "#eb3b5a", "#8854d0", "#2d98da"]
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1e272e;
background:#fafbfc}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2.2rem}
.cards{display:flex;gap:1rem;flex-wrap:wrap;margin:1.2rem 0}.card{background:#fff;border:1px solid #dfe4ea;
border-radius:8px;padding:.8rem 1.2rem;min-width:8rem}.card b{display:block;font-size:1.5rem}.bad b{color:#eb3b5a}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:1rem}
.charts figure{background:#fff;border:1px solid #dfe4ea;border-radius:8px;margin:0;padding:1rem}
figcaption{font-weight:600;margin-bottom:.6rem}svg{width:100%;height:auto}
table{border-collapse:collapse;width:100%;background:#fff;font-size:.9rem}td,th{border-bottom:1px solid #dfe4ea;
padding:.45rem .6rem;text-align:left;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font-size:.85rem}.muted{color:#747d8c}
"""


def render(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes the report and says where it is. What failed is in a header that the fan-in made."""
    failed = context().headers.get("x-asya-gaps", [])
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in context().id)
    folder = Path(os.environ.get("REPORT_DIR", "."))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"report-{name}.html"
    documents.sort(key=lambda document: document["path"])
    target.write_text(page(documents, failed), encoding="utf-8")
    return {"report": str(target.resolve()), "documents": len(documents), "failed": len(failed)}


def page(documents: list[dict[str, Any]], failed: list[dict[str, Any]]) -> str:
    """The whole page; needs nothing from the network."""
    words = sum(document["words"] for document in documents)
    lines = sum(document["lines"] for document in documents)
    languages: Counter[str] = Counter()
    terms: Counter[str] = Counter()
    for document in documents:
        languages[document["language"]] += document["words"]
        terms.update(dict(document["terms"]))
    longest = sorted(documents, key=lambda document: document["words"], reverse=True)[:12]
    cards = [
        card(f"{len(documents):,}", "documents"),
        card(f"{words:,}", "words"),
        card(f"{lines:,}", "lines"),
        card(f"{len(failed):,}", "failed", "bad" if failed else ""),
    ]
    charts = [
        bars("Words by language", languages.most_common(6)),
        bars("Terms that stand out", terms.most_common(12)),
        bars("Longest documents", [(document["path"], document["words"]) for document in longest]),
        bars("Words per sentence", spread(documents)),
    ]
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Documents</title>"
        f"<style>{STYLE}</style><h1>Documents</h1><div class=muted>{made}</div>"
        f"<div class=cards>{''.join(cards)}</div><div class=charts>{''.join(charts)}</div>"
        f"{failures(failed)}<h2>Summaries</h2>{table(documents)}</html>\n"
    )


def card(number: str, label: str, kind: str = "") -> str:
    """One figure with its label."""
    return f'<div class="card {kind}"><b>{number}</b>{label}</div>'


def spread(documents: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """How many documents have sentences of which length."""
    edges = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 30), (30, 10**9)]
    rows = []
    for low, high in edges:
        count = sum(1 for document in documents if low <= document["words_per_sentence"] < high)
        rows.append((f"{low}-{high}" if high < 10**9 else f"over {low}", count))
    return rows


def bars(title: str, rows: list[tuple[str, int]]) -> str:
    """A horizontal bar chart as SVG."""
    top = max((value for _, value in rows), default=1) or 1
    parts = []
    for i, (label, value) in enumerate(rows):
        y, width = i * 26, 330 * value / top
        short = label if len(label) < 27 else "…" + label[-25:]
        parts.append(
            f"<text x=185 y={y + 17} text-anchor=end font-size=12>{html.escape(short)}</text>"
            f'<rect x=192 y={y + 4} width={width:.1f} height=18 rx=3 fill="{PALETTE[i % len(PALETTE)]}"/>'
            f'<text x={198 + width:.1f} y={y + 17} font-size=11 fill="#57606f">{value:,}</text>'
        )
    height = max(1, len(rows)) * 26
    body = "".join(parts)
    return f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 580 {height}">{body}</svg></figure>'


def failures(failed: list[dict[str, Any]]) -> str:
    """The documents that could not be read, with the reason."""
    if not failed:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(gap['message'])}<td>{html.escape(gap['actor'])}"
        f"<td><code>{html.escape(gap['code'])}</code><td><code>{html.escape(gap['id'])}</code>"
        for gap in failed
    )
    return f"<h2>Failed</h2><table><tr><th>Reason<th>Actor<th>Code<th>Envelope{rows}</table>"


def table(documents: list[dict[str, Any]]) -> str:
    """One row per document."""
    rows = "".join(
        f"<tr><td><code>{html.escape(document['path'])}</code><td class=n>{document['words']:,}"
        f"<td>{html.escape(document['summary']) or '<span class=muted>no prose</span>'}"
        for document in documents
    )
    return f"<table><tr><th>Document<th class=n>Words<th>Summary{rows}</table>"
