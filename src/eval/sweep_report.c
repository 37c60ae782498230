/* The report of a sweep: one HTML file that needs nothing beside it, for light and dark screens, wide and
   narrow ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/sweep.h"

enum { PICTURE_MAX = 16 << 20, SVG_MAX = 64 << 20 };

static const char style[] =
    ":root{--paper:#fdfdfc;--ink:#1c1d1f;--soft:#5d6066;--line:#d9d9d5;--band:#f1f1ee;--mark:#"
    "0b5fa5}"
    "@media(prefers-color-scheme:dark){:root{--paper:#17181a;--ink:#e9e9e6;--soft:#a4a7ad;"
    "--line:#3a3c40;--band:#222427;--mark:#7dbdf5}}"
    "*{box-sizing:border-box}html{color-scheme:light dark;-webkit-text-size-adjust:100%}"
    "body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:72rem;background:var(--paper);"
    "color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .5rem}"
    "h3{font-size:1rem;margin:1.2rem 0 .4rem}p{max-width:46rem;margin:.5rem 0}"
    ".soft{color:var(--soft)}.wide{overflow-x:auto;max-width:100%}"
    "table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:right;"
    "white-space:nowrap;overflow-wrap:normal;vertical-align:top}th{color:var(--soft);"
    "font-weight:600}"
    "th:first-child,td:first-child,.left{text-align:left}tbody tr:hover{background:var(--band)}"
    "td.best{font-weight:700;color:var(--mark)}td.note{white-space:normal;min-width:16rem;"
    "text-align:left}"
    "small{color:var(--soft)}code,pre{font:.85rem/1.45 ui-monospace,monospace}"
    "pre{background:var(--band);padding:.7rem;overflow-x:auto;white-space:pre-wrap}"
    ".plot{overflow-x:auto}"
    ".plot svg{display:block;width:100%;height:auto;min-width:30rem;max-width:48rem}"
    ".plot svg [color=\"black\"]{color:var(--ink)}.plot svg [stroke=\"black\"]"
    "{stroke:var(--ink)}"
    ".plot svg text{fill:var(--ink)}"
    ".plot svg .gridline{stroke:var(--line);stroke-dasharray:none}"
    ".shots{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),"
    "1fr))}"
    "figure{margin:0;min-width:0}figure img{width:100%;height:auto;display:block;"
    "image-rendering:pixelated;border:1px solid var(--line)}"
    "figcaption{font-size:.85rem;margin-top:.25rem}"
    "dl{display:grid;grid-template-columns:minmax(7rem,max-content) minmax(0,1fr);gap:.2rem 1rem;"
    "font-size:.9rem}dt{color:var(--soft)}dd{margin:0}"
    "@media(max-width:36rem){dl{grid-template-columns:minmax(0,1fr)}dd{margin-bottom:.4rem}"
    "th,td{padding:.3rem .45rem}}";

/* ---- pieces ---------------------------------------------------------------------------------- */

static void escaped(text *out, const char *s) {
    char *copy = text_copy(s ? s : "");
    if (!copy) {
        out->failed = true;
        return;
    }
    text_tame(copy);
    for (const char *p = copy; *p; p++) switch (*p) {
        case '&': text_add(out, "&amp;"); break;
        case '<': text_add(out, "&lt;"); break;
        case '>': text_add(out, "&gt;"); break;
        case '"': text_add(out, "&quot;"); break;
        default: text_add(out, "%c", *p);
        }
    free(copy);
}

static void base64(text *out, const unsigned char *data, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const unsigned b1 = i + 1 < size ? data[i + 1] : 0, b2 = i + 2 < size ? data[i + 2] : 0;
        const unsigned bits = (unsigned)data[i] << 16 | b1 << 8 | b2;
        const char four[5] = {digits[bits >> 18], digits[bits >> 12 & 63],
                              i + 1 < size ? digits[bits >> 6 & 63] : '=',
                              i + 2 < size ? digits[bits & 63] : '=', 0};
        text_add(out, "%s", four);
    }
}

static const sweep_cell *first_cell(const sweep *s, size_t point) {
    const size_t way = point / s->nbudgets, budget = point % s->nbudgets;
    return &s->cell[(budget * s->nways + way) * s->nseeds];
}

static const sweep_row *row_of(const sweep *s, const sweep_row *rows, size_t way, size_t budget) {
    return &rows[way * s->nbudgets + budget];
}

static bool has_rows(const sweep *s, const sweep_row *rows, size_t budget) {
    for (size_t w = 0; w < s->nways; w++)
        if (row_of(s, rows, w, budget)->seeds > 0) return true;
    return false;
}

/* A label whose solver and grid may stand on two lines. */
static void label(text *out, const sweep_way *w) {
    escaped(out, w->argv ? w->label : w->solver);
    if (w->argv) text_add(out, " <small>peer</small>");
    if (!w->grid) return;
    text_add(out, " <small>@ ");
    escaped(out, w->grid);
    text_add(out, "</small>");
}

/* ---- sections -------------------------------------------------------------------------------- */

static void add_head(const sweep *s, text *out) {
    const char *name = s->model->card.name ? s->model->card.name : s->model_where;
    text_add(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<title>Sweep of ");
    escaped(out, name);
    text_add(out, "</title><style>%s</style></head><body>\n<h1>Sweep of ", style);
    escaped(out, name);
    text_add(out, "</h1>\n<p>Frechet distance of %zu samples for each of %zu seed%s (",
             s->frame.samples, s->nseeds, s->nseeds == 1 ? "" : "s");
    for (size_t i = 0; i < s->nseeds; i++)
        text_add(out, "%s%llu", i ? ", " : "", (unsigned long long)s->seed[i]);
    text_add(out, ") to the reference, on %zu features of ", s->real.d);
    escaped(out, extractor_name(s->extractor));
    text_add(out,
             ". All cells of a seed start from the same noise with the same labels. Less is "
             "better.</p>\n<p class=\"soft\">These distances compare rows of this page with "
             "each other, not with FIDs that were published: features, reference and number "
             "of samples differ.%s</p>\n",
             s->frame.samples <= s->real.d
                 ? " There are no more samples than features here, so that the distances are large "
                   "whatever the solver; differences in a row of the table still mean something."
                 : "");
}

/* Without the prologue, whose address of a document type names another host. */
static dfl_status add_plot(const sweep *s, text *out) {
    text path = {0};
    char *data = NULL;
    size_t size = 0;
    dfl_status status = sweep_path(s, "", "plot", ".svg", &path);
    if (status == DFL_OK && access(path.data, F_OK) == 0) {
        status = file_read(path.data, SVG_MAX, &data, &size);
        const char *svg = status == DFL_OK ? strstr(data, "<svg") : NULL;
        if (svg)
            text_add(out,
                     "<h2>Distance over evaluations</h2>\n<div class=\"plot\">%s</div>\n"
                     "<p class=\"soft\">Bars: %s.</p>\n",
                     svg,
                     s->nseeds > 1 ? "one standard deviation over the seeds, up and down"
                                   : "one standard error from resampling, up and down");
    }
    free(data);
    text_free(&path);
    return status;
}

static void distance_cell(const sweep *s, const sweep_row *row, text *out) {
    text_add(out, "<td%s>", row->best && row->seeds ? " class=\"best\"" : "");
    if (row->seeds == 0)
        text_add(out, *first_cell(s, row->point)->result.note ? "refused" : "");
    else
        text_add(out, "%.2f", row->fid);
    if (row->seeds > 0 && isfinite(row->sd))
        text_add(out, " <small>&plusmn; %.2f</small>", row->sd);
    if (row->seeds > 0 && row->spent != (size_t)s->point[row->point].nfe)
        text_add(out, "<br><small>spends %zu</small>", row->spent);
    text_add(out, "</td>");
}

static void add_distances(const sweep *s, const sweep_row *rows, text *out) {
    text_add(out, "<h2>Distances</h2>\n<div class=\"wide\"><table><thead><tr><th>solver @ grid"
                  "</th>");
    for (size_t b = 0; b < s->nbudgets; b++) text_add(out, "<th>%d</th>", s->nfe[b]);
    text_add(out, "</tr></thead><tbody>\n");
    for (size_t w = 0; w < s->nways; w++) {
        text_add(out, "<tr><td>");
        label(out, &s->way[w]);
        text_add(out, "</td>");
        for (size_t b = 0; b < s->nbudgets; b++) distance_cell(s, row_of(s, rows, w, b), out);
        text_add(out, "</tr>\n");
    }
    text_add(out,
             "</tbody></table></div>\n<p class=\"soft\">Columns: budgets of evaluations. Mean "
             "over seeds &plusmn; standard deviation. In colour: what the others of its column "
             "are compared with below.");
    if (isfinite(s->floor))
        text_add(out, " As many real pictures, against the others of the reference: %.2f.",
                 s->floor);
    text_add(out, "</p>\n");
}

static void difference_row(const sweep *s, const sweep_row *row, text *out) {
    text_add(out, "<tr><td>");
    label(out, &s->way[row->point / s->nbudgets]);
    text_add(out, "</td><td>%.2f</td><td>%.2f</td>", row->fid, row->difference);
    if (row->best)
        text_add(out, "<td>compared with</td>");
    else if (isfinite(row->of_difference.low))
        text_add(out, "<td>%.2f to %.2f</td>", row->of_difference.low, row->of_difference.high);
    else
        text_add(out, "<td></td>");
    text_add(out, isfinite(row->kid) ? "<td>%.1f</td>" : "<td></td>", 1000 * row->kid);
    text_add(out, "<td>%zu</td><td>%.2f</td>", row->spent, 1000 * row->seconds);
    text_add(out, isfinite(row->share) ? "<td>%.0f&nbsp;%%</td></tr>\n" : "<td></td></tr>\n",
             100 * row->share);
}

static void add_differences(const sweep *s, const sweep_row *rows, text *out) {
    text_add(out, "<h2>Paired differences</h2>\n");
    for (size_t b = 0; b < s->nbudgets; b++) {
        if (!has_rows(s, rows, b)) continue;
        text_add(out,
                 "<h3>Budget %d</h3>\n<div class=\"wide\"><table><thead><tr><th>solver @ "
                 "grid</th><th>distance</th><th>difference</th><th>95 %% interval</th><th>KID "
                 "&times; 1000</th><th>spent</th><th>ms each</th><th>network</th></tr></thead>"
                 "<tbody>\n",
                 s->nfe[b]);
        for (size_t w = 0; w < s->nways; w++)
            if (row_of(s, rows, w, b)->seeds > 0) difference_row(s, row_of(s, rows, w, b), out);
        text_add(out, "</tbody></table></div>\n");
    }
    text_add(out,
             "<p class=\"soft\">Intervals: %zu replicates, in each of which all cells of a seed "
             "lose and repeat the same samples. They say how far other samples would change the "
             "difference, for this network, reference and these features. An interval beside zero "
             "speaks for the baseline; where that is the best of many, it flatters it a "
             "little. Times of peers include the start of their program.</p>\n",
             s->replicates);
}

static dfl_status add_shot(const sweep *s, const sweep_row *row, text *out) {
    text path = {0};
    char *data = NULL;
    size_t size = 0;
    dfl_status status = sweep_path(s, "samples", first_cell(s, row->point)->name, ".png", &path);
    if (status == DFL_OK && access(path.data, F_OK) == 0)
        status = file_read(path.data, PICTURE_MAX, &data, &size);
    if (data) {
        const sweep_way *w = &s->way[row->point / s->nbudgets];
        text_add(out, "<figure><img alt=\"samples of ");
        escaped(out, w->label);
        text_add(out, "\" src=\"data:image/png;base64,");
        base64(out, (const unsigned char *)data, size);
        text_add(out, "\"><figcaption>");
        label(out, w);
        text_add(out, "<br>%.2f</figcaption></figure>\n", row->fid);
    }
    free(data);
    text_free(&path);
    return status;
}

static dfl_status add_shots(const sweep *s, const sweep_row *rows, text *out) {
    text_add(out,
             "<h2>Samples</h2>\n<p class=\"soft\">The first samples of seed %llu: the same "
             "starts and labels everywhere.</p>\n",
             (unsigned long long)s->seed[0]);
    for (size_t b = 0; b < s->nbudgets; b++) {
        if (!has_rows(s, rows, b)) continue;
        text_add(out, "<h3>Budget %d</h3>\n<div class=\"shots\">\n", s->nfe[b]);
        for (size_t w = 0; w < s->nways; w++)
            if (row_of(s, rows, w, b)->seeds > 0) TRY(add_shot(s, row_of(s, rows, w, b), out));
        text_add(out, "</div>\n");
    }
    return DFL_OK;
}

static void add_notes(const sweep *s, text *out) {
    bool any = false;
    for (size_t i = 0; i < s->ncells; i++) {
        const sweep_cell *c = &s->cell[i];
        if (!c->done || !*c->result.note) continue;
        if (!any)
            text_add(out, "<h2>Cells without a number</h2>\n<div class=\"wide\"><table><thead><tr>"
                          "<th>solver @ grid</th><th>budget</th><th>seed</th><th "
                          "class=\"left\">why</th></tr></thead><tbody>\n");
        any = true;
        text_add(out, "<tr><td>");
        label(out, &s->way[s->point[c->point].way]);
        text_add(out, "</td><td>%d</td><td>%llu</td><td class=\"note\">", s->point[c->point].nfe,
                 (unsigned long long)c->seed);
        escaped(out, c->result.note);
        text_add(out, "</td></tr>\n");
    }
    if (any) text_add(out, "</tbody></table></div>\n");
}

static void fact(text *out, const char *name, const char *value) {
    text_add(out, "<dt>%s</dt><dd><code>", name);
    escaped(out, value);
    text_add(out, "</code></dd>\n");
}

static void add_facts(const sweep *s, text *out) {
    char cpu[160];
    text_add(out, "<h2>To repeat it</h2>\n<pre>");
    escaped(out, s->command);
    text_add(out, "</pre>\n<p>Each number has a capsule, which draws and measures it again: <code>"
                  "driftless sweep --rerun capsules/CELL.json</code>; <code>cells.csv</code> names "
                  "them.</p>\n<dl>\n");
    fact(out, "driftless", dfl_version());
    fact(out, "model", s->model_where);
    fact(out, "model digest", s->frame.model);
    fact(out, "card digest", s->frame.card);
    fact(out, "features", s->extractor_where);
    fact(out, "features digest", s->frame.extractor);
    fact(out, "reference", s->reference_where);
    fact(out, "reference digest", s->frame.reference);
    fact(out, "CPU", cpu_name(cpu, sizeof cpu));
    text_add(out, "</dl>\n</body></html>\n");
}

dfl_status sweep_report(const sweep *s, const sweep_row *rows) {
    text out = {0}, path = {0};
    dfl_status status = sweep_path(s, "", "report", ".html", &path);
    add_head(s, &out);
    if (status == DFL_OK) status = add_plot(s, &out);
    add_distances(s, rows, &out);
    add_differences(s, rows, &out);
    if (status == DFL_OK) status = add_shots(s, rows, &out);
    add_notes(s, &out);
    add_facts(s, &out);
    if (status == DFL_OK && out.failed) status = fail_memory();
    if (status == DFL_OK) status = file_save(path.data, out.data, out.len);
    text_free(&out);
    text_free(&path);
    return status;
}
