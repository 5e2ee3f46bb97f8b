"""How the HTML looks: colours in pairs that can be read, on a light and on a dark page, and on paper."""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "STYLE"]

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1d1c24",
    "quiet": "#5d5b69",
    "line": "#dddbe4",
    "mark1": "#fff6d6",
    "mark2": "#ffeaa6",
    "mark3": "#ffda70",
    "mark4": "#ffc83d",
    "under": "#8a5a00",
    "raised": "#7a2fb0",
    "both": "#2e7d32",
    "query": "#00707c",
    "text": "#1565c0",
    "expansion": "#8e24aa",
    "less": "#b3530a",
}
"""Colours by what they are for: text on paper, marks under text, bars."""

DARK = {
    "paper": "#1a1920",
    "ink": "#eceaf2",
    "quiet": "#a5a2b3",
    "line": "#3a3844",
    "mark1": "#3a331c",
    "mark2": "#4d421b",
    "mark3": "#635215",
    "mark4": "#7a630c",
    "under": "#e9bd57",
    "raised": "#d3a1f5",
    "both": "#77c77c",
    "query": "#55c5d1",
    "text": "#80b3f5",
    "expansion": "#d58ce6",
    "less": "#f0a05c",
}

_FONTS = (
    'Pretendard,-apple-system,BlinkMacSystemFont,"Apple SD Gothic Neo","Noto Sans KR","Noto Sans CJK KR",'
    '"Malgun Gothic","Segoe UI",Roboto,sans-serif'
)


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--p-{name}:{colour};" for name, colour in colours.items())


STYLE = f"""
.pixie{{{_variables(LIGHT)}color-scheme:light dark;box-sizing:border-box;max-width:48rem;margin:1rem 0;
padding:1rem 1.25rem;background:var(--p-paper);color:var(--p-ink);border:1px solid var(--p-line);border-radius:12px;
font:15px/1.7 {_FONTS};word-break:keep-all;overflow-wrap:anywhere;text-align:left}}
.pixie .hit+.hit{{border-top:1px solid var(--p-line);margin-top:1rem;padding-top:1rem}}
.pixie .head{{display:flex;gap:.75rem;align-items:baseline;justify-content:space-between}}
.pixie .score{{flex:none;font-weight:600;font-variant-numeric:tabular-nums}}
.pixie small,.pixie .note,.pixie .legend{{color:var(--p-quiet);font-size:.85em;font-weight:400}}
.pixie p{{margin:.4rem 0;line-height:1.85}}
.pixie mark{{color:inherit;background:none;padding:.06em .1em;border-radius:3px}}
.pixie mark.literal{{border-bottom:2px solid var(--p-under)}}
.pixie mark.literal.s1{{background:var(--p-mark1)}}
.pixie mark.literal.s2{{background:var(--p-mark2)}}
.pixie mark.literal.s3{{background:var(--p-mark3)}}
.pixie mark.literal.s4{{background:var(--p-mark4)}}
.pixie mark.raised{{text-decoration:underline wavy var(--p-raised) 1.5px;text-underline-offset:.25em}}
.pixie .unread{{color:var(--p-quiet);font-style:italic}}
.pixie .note{{border-left:3px solid var(--p-less);padding-left:.6rem}}
.pixie summary{{cursor:pointer;color:var(--p-quiet);font-size:.85em}}
.pixie table{{border-collapse:collapse;table-layout:fixed;width:100%;margin:.5rem 0;
font-size:.9em;line-height:1.5;font-variant-numeric:tabular-nums}}
.pixie th{{font-weight:500;font-size:.85em;color:var(--p-quiet);text-align:left;border-bottom:1px solid var(--p-line)}}
.pixie th,.pixie td{{padding:.2rem .6rem .2rem 0;vertical-align:baseline;background:none}}
.pixie td:first-child{{font-weight:500}}
.pixie .n{{white-space:nowrap}}
.pixie .n{{text-align:right}}
.pixie .middle{{text-align:center}}
.pixie th{{width:9em}}
.pixie th:first-child{{width:22%}}
.pixie th.n{{width:4.5em}}
.pixie th.n.wide{{width:8em}}
.pixie th.w{{width:auto}}
.pixie tr{{background:none}}
.pixie .rest td{{color:var(--p-quiet);font-weight:400}}
.pixie .sum td{{border-top:1px solid var(--p-line);font-weight:600}}
.pixie .bar{{height:.7em;min-width:2px;border-radius:2px;background:var(--p-both)}}
.pixie .bar.expansion{{--c:var(--p-expansion)}}
.pixie .bar.less{{--c:var(--p-less)}}
.pixie .bar.expansion,.pixie .bar.less{{box-shadow:inset 0 0 0 1px var(--c);
background:repeating-linear-gradient(135deg,var(--c) 0 3px,transparent 3px 5px)}}
.pixie .bar.query{{background:var(--p-query)}}
.pixie .bar.text{{background:var(--p-text)}}
.pixie .bar.more{{background:var(--p-text)}}
.pixie .sides{{display:flex}}
.pixie .side{{flex:1;display:flex}}
.pixie .side.left{{justify-content:flex-end;border-right:1px solid var(--p-quiet)}}
@media screen and (max-width:36rem){{.pixie{{padding:.75rem}}.pixie th{{width:8em}}.pixie th.n{{width:4em}}
.pixie .wide{{display:none}}}}
@media (prefers-color-scheme:dark){{.pixie{{{_variables(DARK)}}}}}
@media print{{.pixie{{{_variables(LIGHT)}border:0;padding:0;max-width:none;font-size:10.5pt}}
.pixie .hit,.pixie tr{{break-inside:avoid}}.pixie .head{{break-after:avoid}}
.pixie .all summary{{display:none}}.pixie summary{{list-style:none}}
.pixie mark,.pixie .bar{{-webkit-print-color-adjust:exact;print-color-adjust:exact}}}}
"""
