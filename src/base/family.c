/* Parsing and listing of the families' tables. */
#include "base/family.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const opt_row family_no_options[] = {{0}};

static char plain(char c) {
    return (char)(c == '+' ? 'p' : tolower((unsigned char)c));
}

/* Equal but for case, what separates words, and "+" for "p": "DPM++_2M" and "dpmpp2m" are one. */
static bool same_name(const char *a, const char *b) {
    static const char between[] = "_-";
    for (;; a++, b++) {
        a += strspn(a, between);
        b += strspn(b, between);
        if (plain(*a) != plain(*b)) return false;
        if (!*a) return true;
    }
}

static const family_row *row_named(const family *f, const char *name) {
    for (size_t i = 0; i < f->n; i++)
        if (same_name(name, f->rows[i]->name)) return f->rows[i];
    return NULL;
}

static dfl_status unknown(const family *f, const char *name) {
    enum { NAMES_MAX = 64 };
    const char *names[NAMES_MAX];
    const size_t n = f->n < NAMES_MAX ? f->n : NAMES_MAX;
    for (size_t i = 0; i < n; i++) names[i] = f->rows[i]->name;
    const char *close = text_closest(name, names, n);
    if (close)
        return fail(DFL_E_KEY, "%s: there is no '%s'; did you mean '%s'?", f->singular, name,
                    close);
    text all = {0};
    for (size_t i = 0; i < f->n; i++) text_add(&all, "%s%s", i ? ", " : "", f->rows[i]->name);
    const dfl_status status = fail(DFL_E_KEY, "%s: there is no '%s'; choose one of %s", f->singular,
                                   name, all.data ? all.data : "those listed");
    text_free(&all);
    return status;
}

/* The alias written out, with the options that stood behind it; NULL in *out if it is none. Names of
   rows come first. */
static dfl_status expand(const family *f, const char *name, const char *body, char **out) {
    *out = NULL;
    if (row_named(f, name)) return DFL_OK;
    for (size_t i = 0; i < f->naliases; i++) {
        if (!same_name(name, f->aliases[i].name)) continue;
        const char *spec = f->aliases[i].spec;
        text full = {0};
        text_add(&full, "%s", spec);
        if (*body) text_add(&full, "%c%s", strchr(spec, ':') ? ',' : ':', body);
        if (full.failed) {
            text_free(&full);
            return fail_memory();
        }
        *out = full.data;
        return DFL_OK;
    }
    return DFL_OK;
}

dfl_status family_parse(const family *f, const char *spec, const family_row **row, opts *o) {
    *row = NULL;
    memset(o, 0, sizeof *o);
    char *name = NULL, *full = NULL;
    const char *body;
    TRY(opt_head(spec, &name, &body));
    dfl_status expanded = expand(f, name, body, &full);
    if (expanded != DFL_OK || full) {
        free(name);
        if (expanded == DFL_OK) expanded = family_parse(f, full, row, o);
        free(full);
        return expanded;
    }
    *row = row_named(f, name);
    dfl_status status;
    if (*row) {
        char what[64];
        snprintf(what, sizeof what, "%s %s", f->singular, (*row)->name);
        status = opts_parse(what, (*row)->options, body, o);
    } else {
        status = unknown(f, name);
    }
    free(name);
    return status;
}

/* The meaning of a name, on further lines after a comma where it is wide. */
static void describe_alias(const family_alias *a, text *out) {
    enum { COLUMN = 19, WIDTH = 80 };
    const size_t name = strlen(a->name) + 3;
    const char *rest = a->spec;
    text_add(out, "  %-16s ", a->name);
    for (size_t left = WIDTH - (name > COLUMN ? name : COLUMN); strlen(rest) > left;
         left = WIDTH - COLUMN) {
        size_t n = left;
        while (n > 0 && rest[n - 1] != ',') n--;
        if (n == 0) break;
        text_add(out, "%.*s\n%*s", (int)n, rest, COLUMN, "");
        rest += n;
    }
    text_add(out, "%s\n", rest);
}

void family_describe(const family *f, text *out) {
    for (size_t i = 0; i < f->n; i++) {
        const family_row *row = f->rows[i];
        text_add(out, "%s%s - %s\n", i ? "\n" : "", row->name, row->about);
        if (row->paper[0]) text_add(out, "  %s\n", row->paper);
        opts_help(row->options, "  ", out);
    }
    if (f->naliases) text_add(out, "\nother names\n");
    for (size_t i = 0; i < f->naliases; i++) describe_alias(&f->aliases[i], out);
}

void family_print(const family_row *row, const opts *o, text *out) {
    text_add(out, "%s", row->name);
    bool any = false;
    for (int i = 0; i < o->n; i++) any = any || o->v[i].set;
    if (any) text_add(out, ":");
    opts_print(o, out);
}
