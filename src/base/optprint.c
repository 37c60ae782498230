/* Options as text: a record that parses back to the same values, and the help of a table. */
#include "base/base.h"

#include <math.h>
#include <string.h>

/* ---- records --------------------------------------------------------------------------------- */

static bool text_is_bare(const char *s) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-+./~@%=";
    return *s && !s[strspn(s, plain)];
}

/* The grammar has no escapes, so text with both kinds of quotes is written in parts. */
void opt_quote(text *out, const char *s) {
    const char *const single = strchr(s, '\'');
    if (text_is_bare(s)) {
        text_add(out, "%s", s);
    } else if (!single) {
        text_add(out, "'%s'", s);
    } else if (!strchr(s, '"')) {
        text_add(out, "\"%s\"", s);
    } else {
        while (*s) {
            const bool is_single = *s == '\'';
            const size_t run = is_single ? strspn(s, "'") : strcspn(s, "'");
            const char quote = is_single ? '"' : '\'';
            text_add(out, "%c%.*s%c", quote, (int)run, s, quote);
            s += run;
        }
    }
}

static void print_value(const opts *o, const opt_value *v, text *out) {
    switch (v->row->type) {
    case OPT_INT: text_add(out, "%lld", opt_int(o, v->row->key)); break;
    case OPT_REAL:
        if (isnan(v->number))
            text_add(out, "%s", v->row->choices);
        else
            text_real(out, v->number);
        break;
    case OPT_BOOL: text_add(out, "%d", v->number != 0); break;
    case OPT_CHOICE:
    case OPT_TEXT: opt_quote(out, v->text); break;
    case OPT_LIST:
        text_add(out, "[");
        for (size_t i = 0; i < v->nlist; i++) {
            if (i > 0) text_add(out, ",");
            text_real(out, v->list[i]);
        }
        text_add(out, "]");
        break;
    }
}

void opts_print(const opts *o, text *out) {
    const char *comma = "";
    for (int i = 0; i < o->n; i++) {
        const opt_value *const v = &o->v[i];
        if (!v->set) continue;
        text_add(out, "%s%s=", comma, v->row->key);
        print_value(o, v, out);
        comma = ",";
    }
}

/* ---- help ------------------------------------------------------------------------------------ */

enum { COLUMNS = 4, PAGE_WIDTH = 80, TYPE_WIDTH = 22, DEFAULT_WIDTH = 12, HELP_WIDTH = 19 };

/* A limit worth telling: neither infinite nor that of the integer type. */
static bool is_bound(double limit) {
    return fabs(limit) < 1e15;
}

static void type_text(const opt_row *row, text *out) {
    static const char *const words[] = {
        [OPT_INT] = "integer", [OPT_REAL] = "number", [OPT_BOOL] = "0|1",
        [OPT_CHOICE] = "",     [OPT_TEXT] = "text",   [OPT_LIST] = "[number,...]",
    };
    text_add(out, "%s", row->type == OPT_CHOICE ? row->choices : words[row->type]);
    if (row->type == OPT_REAL && row->choices) text_add(out, "|%s", row->choices);
    const bool ranged = row->type == OPT_INT || row->type == OPT_REAL ||
                        (row->type == OPT_LIST && row->min < row->max);
    if (!ranged) return;
    if (is_bound(row->min) && is_bound(row->max)) {
        text_add(out, " %.15g..%.15g", row->min, row->max);
    } else if (is_bound(row->min)) {
        text_add(out, " >= %.15g", row->min);
    } else if (is_bound(row->max)) {
        text_add(out, " <= %.15g", row->max);
    }
}

/* How much of s goes into one line of `width`: up to a blank or behind a bar or comma, if it must
   be broken at all. */
static size_t line_length(const char *s, size_t width) {
    const size_t whole = strlen(s);
    if (whole <= width) return whole;
    for (size_t n = width; n > 0; n--) {
        if (s[n] == ' ' || s[n - 1] == '|' || s[n - 1] == ',') return n;
    }
    return width;
}

/* One row as a table row: each cell is wrapped within its own column. */
static void print_row(const char *const cells[COLUMNS], const size_t width[COLUMNS],
                      const char *indent, text *out) {
    const char *at[COLUMNS];
    memcpy(at, cells, sizeof at);
    for (bool more = true; more && !out->failed;) {
        size_t pending = 0; /* blanks owed before the next cell: none are left at a line's end */
        more = false;
        text_add(out, "%s", indent);
        for (int i = 0; i < COLUMNS; i++) {
            const size_t n = line_length(at[i], width[i]);
            if (n > 0) text_add(out, "%*s%.*s", (int)pending, "", (int)n, at[i]);
            pending = (n > 0 ? 0 : pending) + width[i] - n + 2;
            at[i] += n;
            at[i] += strspn(at[i], " ");
            more = more || *at[i];
        }
        text_add(out, "\n");
    }
}

static size_t width_of(size_t now, const char *s, size_t most) {
    const size_t n = strlen(s);
    const size_t wanted = n > now ? n : now;
    return wanted < most ? wanted : most;
}

static const char *default_text(const opt_row *row) {
    return row->fallback ? row->fallback : "-";
}

void opts_help(const opt_row *rows, const char *indent, text *out) {
    size_t width[COLUMNS] = {0};
    text types[OPT_MAX] = {0};
    int n = 0;
    for (; n < OPT_MAX && rows[n].key; n++) {
        type_text(&rows[n], &types[n]);
        if (types[n].failed) out->failed = true;
        width[0] = width_of(width[0], rows[n].key, PAGE_WIDTH);
        width[1] = width_of(width[1], types[n].failed ? "" : types[n].data, TYPE_WIDTH);
        width[2] = width_of(width[2], default_text(&rows[n]), DEFAULT_WIDTH);
    }
    const size_t used = strlen(indent) + width[0] + width[1] + width[2] + 6;
    width[3] = used + HELP_WIDTH < PAGE_WIDTH ? PAGE_WIDTH - used : HELP_WIDTH;
    for (int i = 0; i < n && !out->failed; i++) {
        const char *const cells[COLUMNS] = {rows[i].key, types[i].data, default_text(&rows[i]),
                                            rows[i].help};
        print_row(cells, width, indent, out);
    }
    for (int i = 0; i < n; i++) text_free(&types[i]);
}
