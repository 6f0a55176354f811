# SPDX-License-Identifier: GPL-2.0-only
"""The page of ./stillpoint compare: one HTML file that needs nothing else."""

import html

import chart
import compare_table as table
from compare_rows import exits_of, number, params_words, times

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1b1f23;--dim:#545d66;--line:#d5dbe0;--head:#f1f4f6;--link:#1f5fa8;
--good:#1d6b35;--bad:#a3271f}
@media (prefers-color-scheme:dark){:root{--ground:#15181b;--ink:#e8eaed;--dim:#a7b0b9;--line:#3a4149;--head:#22272c;
--link:#8fc1f7;--good:#86d69c;--bad:#f19a92}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem 1.25rem 4rem;max-width:76rem;background:var(--ground);color:var(--ink);
font:16px/1.55 system-ui,"DejaVu Sans",Verdana,sans-serif}
h1{font-size:1.7rem;line-height:1.2}h2{margin-top:2.6rem;border-top:1px solid var(--line);padding-top:1.2rem}
a{color:var(--link)}a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--link)}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;background:var(--ground);padding:.5rem}
p{max-width:48rem}.dim,figcaption,caption{color:var(--dim)}.answer{font-size:1.12rem;font-weight:600}
figure{margin:1rem 0}svg{width:100%;height:auto;display:block}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:4px;margin:.6rem 0}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.4rem .6rem}th,td{padding:.25rem .6rem;text-align:left;vertical-align:top;
border-top:1px solid var(--line)}thead th{background:var(--head);border-top:0}
td.n,th.n{text-align:right;white-space:nowrap}tbody th{font-weight:600}td.why{color:var(--dim);font-style:italic;
min-width:11rem}
.bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}
code{font-size:.92em;overflow-wrap:anywhere}summary{cursor:pointer;margin:.6rem 0;font-weight:600}
small{color:var(--dim)}
@media print{details{display:block}}
"""


def esc(words):
    return html.escape(str(words), quote=True)


def styles():
    dark = "".join(chart.rules(1))
    # STYLE of the charts has the light colours; the dark ones go over them.
    return STYLE + chart.STYLE + "@media (prefers-color-scheme:dark){" + dark + "}"


def scrolled(caption, head, body):
    return (f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}"><table><caption>{esc(caption)}'
            f'</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>')


def heads(words, right):
    return "".join(f'<th scope="col"{" class=n" if i in right else ""}>{esc(w)}</th>' for i, w in enumerate(words))


def plain_table(caption, rows, right=()):
    """rows[0] is the heading, each row's first cell its head."""
    body = []
    for row in rows[1:]:
        cells = "".join(f'<td{" class=n" if i in right else ""}>{esc(c)}</td>' for i, c in enumerate(row) if i)
        body.append(f'<tr><th scope="row">{esc(row[0])}</th>{cells}</tr>')
    return scrolled(caption, heads(rows[0], right), "\n".join(body))


def answer_part(answer):
    out = [f'<section id="{answer.name}"><h2>{esc(answer.heading)}</h2>', f"<p>{esc(answer.asked)}</p>",
           f'<p class="answer">{esc(answer.sentence)}</p>']
    if answer.picture:
        out += ["<figure>", chart.inline(answer.picture, answer.name, answer.heading, answer.sentence),
                f"<figcaption>{esc(answer.reading)}</figcaption></figure>"]
    if answer.rows:
        first = 2 if answer.name in ("pause", "wait") else 1
        out.append("<details><summary>The figures of the picture</summary>" + plain_table(
            "The figures of: " + answer.heading, answer.rows, range(first, len(answer.rows[0]))) + "</details>")
    return "\n".join(out + ["</section>"])


def cell(row, side, runs):
    found = row.cells[side]
    if not found.metric:
        return f'<td class="why">{esc(found.why)}</td>'
    metric = found.metric
    words = number(found.number)
    more = []
    if "value" not in metric:
        more.append(f"{number(metric['min'])} to {number(metric['max'])}, n={metric['n']:,}")
    counted = exits_of(runs[row.step, side], metric) if side != "stillpoint" else None
    if counted:
        exits, ops = counted
        more.append(f"{exits / ops:,.2f} exits each")
    if row.differ[side]:
        more.append(" ".join(f"{k}={v}" for k, v in row.differ[side].items()))
    return f"<td class=n>{words}" + "".join(f"<br><small>{esc(m)}</small>" for m in more) + "</td>"


def ratios(row):
    return (row.ratio("stock", "stillpoint"), row.ratio("patched", "stillpoint"), row.ratio("patched", "stock"))


HEAD = ("metric", "of", "Stillpoint", "stock KVM", "patched KVM", "stock : Stillpoint", "patched : Stillpoint",
        "patched : stock", "unit", "compare")


def figures_part(step, rows, runs):
    body = []
    for row in rows:
        kind = row.note.kind if row.note else "nobody has said"
        cells = "".join(cell(row, side, runs) for side in table.SIDES)
        cells += "".join(f"<td class=n>{times(value)}</td>" for value in ratios(row))
        said = row.note.words if row.note else "the table of pairs does not know this metric"
        body.append(f'<tr><th scope="row"><code>{esc(row.name)}</code></th><td>{esc(params_words(row))}</td>{cells}'
                    f"<td>{esc(row.unit)}</td><td><b>{esc(kind)}</b>: {esc(said)}</td></tr>")
    both = sum(len(row.sides()) > 1 for row in rows)
    return (f"<details><summary>{esc(' '.join(step.words))}: {len(rows)} figures, {both} of more than one side"
            f"</summary>" + scrolled(f"Figures of {' '.join(step.words)}", heads(HEAD, range(2, 8)),
                                     "\n".join(body)) + "</details>")


def counters_part(steps, runs):
    out = []
    for step in steps:
        for side in table.SIDES:
            run = runs.get((step.name, side))
            if run and run.counters:
                rows = [("counter", "value", "meaning")] + [(n, f"{v:,}", m) for n, v, m in run.counters]
                out.append(f"<details><summary>{esc(' '.join(step.words))}, {table.SIDE_NAMES[side]}</summary>" +
                           plain_table(f"Counters of the whole run of {step.name}", rows, (1,)) + "</details>")
    return "\n".join(out)


def runs_part(steps, runs):
    body = []
    for step in steps:
        for side in table.SIDES:
            run = runs[step.name, side]
            passed = sum(ok and why is None for _, ok, _, why in run.tests)
            failed = sum(not ok for _, ok, _, _ in run.tests)
            kind = "good" if run.status == 0 else "bad"
            body.append(
                f'<tr><th scope="row">{esc(step.name)}</th><td>{table.SIDE_NAMES[side]}</td>'
                f'<td class="n {kind}">{run.status}</td><td class=n>{passed}</td><td class=n>{failed}</td>'
                f'<td class=n>{len(run.skips())}</td><td>{esc(run.last)}</td>'
                f"<td><code>{esc(run.command)}</code></td></tr>")
    head = heads(("step", "side", "status", "passed", "failed", "skipped", "its last words", "command"), (2, 3, 4, 5))
    return scrolled("Every run of this comparison", head, "\n".join(body))


def skips_part(steps, runs):
    rows = [("step", "side", "what", "why")]
    for step in steps:
        for side in table.SIDES:
            rows += [(step.name, table.SIDE_NAMES[side], name or "the whole experiment", why)
                     for name, why in runs[step.name, side].skips()]
    return plain_table("What was skipped, in the words of the side that skipped it", rows) if len(rows) > 1 else \
        "<p>Nothing.</p>"


def knobs_part(found):
    body = []
    for knob, seen in found:
        what = "<br>".join(f'<span class="{"good" if ok else "bad"}">{"seen" if ok else "NOT seen"}</span>: {esc(name)}'
                           for ok, name in seen) or '<span class="dim">no run of this comparison has tried it</span>'
        body.append(f'<tr><th scope="row"><code>{esc(knob.name)}</code></th><td>{esc(knob.without)}</td>'
                    f"<td>{what}</td></tr>")
    return scrolled("Fixes switched off in the patched kernel", heads(("knob", "with it on", "in this comparison"), ()),
                    "\n".join(body))


def page(title, machine, steps, rows, runs, answers, knobs):
    """The whole file."""
    contents = [(a.name, a.heading) for a in answers] + [
        ("figures", "All figures"), ("apart", "What is not comparable"), ("knobs", "Fixes switched off"),
        ("skips", "What was skipped"), ("counters", "Counters"), ("runs", "The runs")]
    kinds = "".join(f"<li><b>{esc(kind)}</b>: {esc(words)}</li>" for kind, words in table.KINDS.items())
    out = [
        "<!doctype html>", "<!-- SPDX-License-Identifier: GPL-2.0-only -->", '<html lang="en"><head>',
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{esc(title)}</title><style>{styles()}</style></head><body>",
        '<a class="skip" href="#main">To the answers</a>', f"<header><h1>{esc(title)}</h1>",
        "<p>The same ideas in a small hypervisor and as patches of Linux 6.1's KVM, in the same emulator, on the same "
        "CPU model with as many CPUs. Stillpoint prints what its image measures; stock and patched KVM what the same "
        "experiments measure through /dev/kvm. Times are ticks, and a tick is an instruction.</p>",
        "<ul>" + "".join(f"<li>{esc(line)}</li>" for line in machine) + "</ul>",
        '<nav aria-label="Contents"><ol>' + "".join(f'<li><a href="#{n}">{esc(w)}</a></li>' for n, w in contents) +
        '</ol></nav></header><main id="main">']
    out += [answer_part(answer) for answer in answers]
    out += ['<section id="figures"><h2>All figures</h2><p>Medians, below them the range. A ratio above 1 says that the '
            "first side needs more (of a rate: does more). How far a comparison goes:</p>", f"<ul>{kinds}</ul>"]
    out += [figures_part(step, [r for r in rows if r.step == step.name], runs) for step in steps]
    out += ['</section><section id="apart"><h2>What is not comparable</h2><dl>'] + [
        f"<dt><b>{esc(head)}</b></dt><dd>{esc(words)}</dd>" for head, words in table.NOT_COMPARABLE] + [
        '</dl></section><section id="knobs"><h2>Fixes switched off</h2><p>Each fix of the series can be switched off '
        "by a parameter of the module. A test that cannot see a bug says nothing by passing: so each has to be seen once."
        "</p>", knobs_part(knobs), '</section><section id="skips"><h2>What was skipped</h2>', skips_part(steps, runs),
        '</section><section id="counters"><h2>Counters</h2><p>Of whole runs, also of what is not measured in them: '
        "exits, requests, flushes.</p>", counters_part(steps, runs),
        '</section><section id="runs"><h2>The runs</h2>', runs_part(steps, runs), "</section></main></body></html>", ""]
    return "\n".join(out)
