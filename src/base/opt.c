/* Option text: one grammar for solvers, grids, processes, models and runs, driven by tables of
   opt_row. Parsing and reading of values is here; printing and help are in optprint.c.

     body    item { "," item }            opts_parse
             item { blanks item }         opts_parse_words
     item    key "=" value
     value   bare text and quoted parts in any mixture; [number,...] for lists
   Separators inside quotes or brackets do not separate. Between words, a text value that is not
   quoted as a whole keeps its quotes, because it is option text for the next level down. */
#include "base/base.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SPEC_MAX = 4 << 20, LIST_MAX = 100000, CHOICES_MAX = 32 };

static const char blanks[] = " \t\r\n";

static bool is_blank(char c) {
    return c && strchr(blanks, c);
}

static bool is_quote(char c) {
    return c == '\'' || c == '"';
}

/* ---- values ---------------------------------------------------------------------------------- */

static dfl_status fail_range(const char *what, const opt_row *row, const char *given) {
    const double lo = row->min, hi = row->max;
    if (isfinite(lo) && isfinite(hi)) {
        return fail(DFL_E_RANGE, "%s: %s=%.60s is outside %.15g..%.15g", what, row->key, given, lo,
                    hi);
    }
    const char *const side = isfinite(lo) ? "at least" : "at most";
    return fail(DFL_E_RANGE, "%s: %s=%.60s must be %s %.15g", what, row->key, given, side,
                isfinite(lo) ? lo : hi);
}

static bool in_range(const opt_row *row, double x) {
    return x >= row->min && x <= row->max;
}

static dfl_status read_int(const char *what, opt_value *v) {
    long long x = 0;
    if (!text_to_int(v->text, &x)) {
        return fail(DFL_E_RANGE, "%s: %s=%.60s is not a whole number of 64 bits", what, v->row->key,
                    v->text);
    }
    v->number = (double)x;
    return in_range(v->row, v->number) ? DFL_OK : fail_range(what, v->row, v->text);
}

static dfl_status read_real(const char *what, opt_value *v) {
    if (v->row->choices && strcmp(v->text, v->row->choices) == 0) {
        v->number = NAN;
        return DFL_OK;
    }
    if (!text_to_real(v->text, &v->number)) {
        return fail(DFL_E_RANGE, "%s: %s=%.60s is not a finite number", what, v->row->key, v->text);
    }
    return in_range(v->row, v->number) ? DFL_OK : fail_range(what, v->row, v->text);
}

static dfl_status read_bool(const char *what, opt_value *v) {
    static const char *const words[] = {"0", "1", "false", "true", "no", "yes"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(v->text, words[i])) continue;
        v->number = (double)(i % 2);
        return DFL_OK;
    }
    return fail(DFL_E_RANGE, "%s: %s=%.60s must be 0, 1, false, true, no or yes", what, v->row->key,
                v->text);
}

static dfl_status fail_choice(const char *what, const opt_value *v, const char *const *words,
                              size_t n) {
    const char *const close = text_closest(v->text, words, n);
    const char *const key = v->row->key;
    return close ? fail(DFL_E_RANGE, "%s: %s=%.60s is not one of %s; did you mean '%s'?", what, key,
                        v->text, v->row->choices, close)
                 : fail(DFL_E_RANGE, "%s: %s=%.60s is not one of %s", what, key, v->text,
                        v->row->choices);
}

static dfl_status read_choice(const char *what, opt_value *v) {
    const char *words[CHOICES_MAX];
    size_t n = 0;
    char *const copy = text_copy(v->row->choices);
    if (!copy) return fail_memory();
    for (char *word = copy; word && n < CHOICES_MAX;) {
        char *const bar = strchr(word, '|');
        if (bar) *bar = 0;
        words[n++] = word;
        word = bar ? bar + 1 : NULL;
    }
    size_t found = 0;
    while (found < n && strcmp(words[found], v->text)) found++;
    const dfl_status status = found < n ? DFL_OK : fail_choice(what, v, words, n);
    v->number = (double)found;
    free(copy);
    return status;
}

static dfl_status read_text(const char *what, opt_value *v) {
    (void)what;
    (void)v; /* any text is good */
    return DFL_OK;
}

static dfl_status fail_list(const char *what, const opt_value *v, const char *at) {
    return fail(DFL_E_RANGE, "%s: %s must be a list of numbers like [1,0.5], but has '%.30s'", what,
                v->row->key, at);
}

static dfl_status list_append(const char *what, opt_value *v, size_t *cap, const char *word) {
    const bool bounded = v->row->min < v->row->max;
    double x = 0;
    if (!text_to_real(word, &x)) return fail_list(what, v, word);
    if (bounded && !in_range(v->row, x)) return fail_range(what, v->row, word);
    if (v->nlist == LIST_MAX) {
        return fail(DFL_E_RANGE, "%s: %s has more than %d numbers", what, v->row->key, LIST_MAX);
    }
    void *list = v->list;
    if (!mem_grow(&list, cap, v->nlist + 1, sizeof *v->list)) return fail_memory();
    v->list = list;
    v->list[v->nlist++] = x;
    return DFL_OK;
}

static dfl_status read_list(const char *what, opt_value *v) {
    const char *at = v->text;
    size_t cap = 0;
    if (*at != '[') return fail_list(what, v, at);
    for (bool more = true; more;) {
        char word[64];
        at += 1;
        at += strspn(at, blanks);
        const size_t length = strcspn(at, ",] \t\r\n");
        if (length >= sizeof word) return fail_list(what, v, at);
        memcpy(word, at, length);
        word[length] = 0;
        const char *const after = at + length + strspn(at + length, blanks);
        const bool none = length == 0 && v->nlist == 0 && *after == ']';
        if (!none) TRY(list_append(what, v, &cap, word));
        if (*after != ',' && *after != ']') return fail_list(what, v, after);
        more = *after == ',';
        at = after;
    }
    return at[1] ? fail_list(what, v, at + 1) : DFL_OK;
}

/* Takes `value` over. */
static dfl_status value_set(const char *what, opt_value *v, char *value) {
    static dfl_status (*const readers[])(const char *, opt_value *) = {
        [OPT_INT] = read_int,       [OPT_REAL] = read_real, [OPT_BOOL] = read_bool,
        [OPT_CHOICE] = read_choice, [OPT_TEXT] = read_text, [OPT_LIST] = read_list,
    };
    if (!value) return fail_memory();
    v->text = value;
    v->set = true;
    return readers[v->row->type](what, v);
}

/* ---- items ----------------------------------------------------------------------------------- */

typedef struct {
    const char *what;
    bool words; /* blanks separate the items, not commas */
    opts *out;
} parser;

/* The end of the item that begins at `at`: a separator or the end of the text. */
static dfl_status item_end(const parser *p, const char *at, const char **end) {
    const char *const begin = at;
    int depth = 0;
    for (; *at; at++) {
        if (depth == 0 && (p->words ? is_blank(*at) : *at == ',')) break;
        if (is_quote(*at)) {
            const char *const close = strchr(at + 1, *at);
            if (!close) return fail(DFL_E_KEY, "%s: no closing %c in '%.60s'", p->what, *at, begin);
            at = close;
        }
        depth += (*at == '[') - (*at == ']');
        if (depth < 0) break;
        if (depth > 0 || !is_blank(*at)) continue;
        at += strspn(at, blanks) - 1; /* each blank is looked at once: there may be millions */
        if (at[1] && at[1] != ',') {
            return fail(DFL_E_KEY, "%s: a value with blanks must be quoted: '%.60s'", p->what,
                        begin);
        }
    }
    if (depth != 0) {
        return fail(DFL_E_KEY, "%s: [ and ] do not match in '%.60s'", p->what, begin);
    }
    *end = at;
    return DFL_OK;
}

/* Copies [s, s + n) without its quotes. */
static char *unquote(const char *s, size_t n) {
    char *const copy = mem_array(n + 1, 1);
    char *to = copy, quote = 0;
    for (size_t i = 0; copy && i < n; i++) {
        const bool opens = !quote && is_quote(s[i]), closes = quote && s[i] == quote;
        if (opens) quote = s[i];
        if (closes) quote = 0;
        if (!opens && !closes) *to++ = s[i];
    }
    return copy;
}

static char *copy_part(const char *s, size_t n) {
    char *const copy = mem_array(n + 1, 1);
    if (copy) memcpy(copy, s, n);
    return copy;
}

static dfl_status fail_unknown(const parser *p, const char *key) {
    const char *keys[OPT_MAX];
    const opts *const o = p->out;
    if (o->n == 0) {
        return fail(DFL_E_KEY, "%s: unknown option '%.60s'; it takes none", p->what, key);
    }
    for (int i = 0; i < o->n; i++) keys[i] = o->v[i].row->key;
    const char *const close = text_closest(key, keys, (size_t)o->n);
    if (close) {
        return fail(DFL_E_KEY, "%s: unknown option '%.60s'; did you mean '%s'?", p->what, key,
                    close);
    }
    text all = {0};
    for (int i = 0; i < o->n; i++) text_add(&all, "%s%s", i ? ", " : "", keys[i]);
    const dfl_status status =
        all.failed
            ? fail_memory()
            : fail(DFL_E_KEY, "%s: unknown option '%.60s'; allowed: %s", p->what, key, all.data);
    text_free(&all);
    return status;
}

static opt_value *value_find(opts *o, const char *key) {
    for (int i = 0; i < o->n; i++) {
        if (!strcmp(o->v[i].row->key, key)) return &o->v[i];
    }
    return NULL;
}

/* Reads value [s, s + n) of `key`. */
static dfl_status item_store(const parser *p, const char *key, const char *s, size_t n) {
    opt_value *const v = value_find(p->out, key);
    if (!v) return fail_unknown(p, key);
    if (v->given) return fail(DFL_E_KEY, "%s: %s is given twice", p->what, key);
    if (n == 0) {
        return fail(DFL_E_KEY, "%s: %s needs a value: %s=...", p->what, key, key);
    }
    const char *const close = is_quote(*s) ? strchr(s + 1, *s) : NULL;
    const bool raw = p->words && v->row->type == OPT_TEXT && close != s + n - 1;
    v->given = true;
    return value_set(p->what, v, raw ? copy_part(s, n) : unquote(s, n));
}

static dfl_status item_parse(const parser *p, const char *begin, const char *end) {
    while (end > begin && is_blank(end[-1])) end--;
    if (end == begin) {
        return fail(DFL_E_KEY, "%s: an option is missing beside a comma", p->what);
    }
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    if (!equals) equals = end;
    char *const key = copy_part(begin, (size_t)(equals - begin));
    if (!key) return fail_memory();
    const char *const value = equals < end ? equals + 1 : end;
    const dfl_status status = item_store(p, key, value, (size_t)(end - value));
    free(key);
    return status;
}

static dfl_status items_parse(const parser *p, const char *at) {
    at += strspn(at, blanks);
    while (*at) {
        const char *end = NULL;
        TRY(item_end(p, at, &end));
        TRY(item_parse(p, at, end));
        const bool comma = *end == ',';
        at = end + comma;
        at += strspn(at, blanks);
        if (comma && !*at) return fail(DFL_E_KEY, "%s: nothing follows the last comma", p->what);
    }
    return DFL_OK;
}

static dfl_status defaults_fill(const parser *p) {
    for (int i = 0; i < p->out->n; i++) {
        opt_value *const v = &p->out->v[i];
        if (v->set || !v->row->fallback) continue;
        const dfl_status status = value_set(p->what, v, text_copy(v->row->fallback));
        if (status == DFL_E_MEMORY) return status;
        if (status != DFL_OK) return fail_in(DFL_E_INTERNAL, "default of %s", v->row->key);
    }
    return DFL_OK;
}

static dfl_status parse(const parser *p, const opt_row *rows, const char *body) {
    opts *const o = p->out;
    dfl_status status = DFL_OK;
    *o = (opts){0};
    if (!body) body = "";
    for (; rows[o->n].key; o->n++) {
        if (o->n == OPT_MAX) {
            o->n = 0;
            return fail(DFL_E_INTERNAL, "%s: more than %d options", p->what, OPT_MAX);
        }
        o->v[o->n].row = &rows[o->n];
    }
    if (strlen(body) > SPEC_MAX) {
        status =
            fail(DFL_E_RANGE, "%s: the option text is longer than %d bytes", p->what, SPEC_MAX);
        goto done;
    }
    TRY_GOTO(items_parse(p, body), done);
    TRY_GOTO(defaults_fill(p), done);
done:
    if (status != DFL_OK) opts_free(o);
    return status;
}

/* ---- for the other layers -------------------------------------------------------------------- */

dfl_status opts_parse(const char *what, const opt_row *rows, const char *body, opts *out) {
    return parse(&(parser){what, false, out}, rows, body);
}

dfl_status opts_parse_words(const char *what, const opt_row *rows, const char *body, opts *out) {
    return parse(&(parser){what, true, out}, rows, body);
}

dfl_status opt_head(const char *spec, char **name, const char **rest) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_.+-";
    const size_t length = strcspn(spec, ":");
    *name = NULL;
    *rest = spec + length + (spec[length] == ':');
    if (length == 0 || strspn(spec, allowed) < length) {
        return fail(DFL_E_KEY, "'%.60s' does not begin with a name; write name:key=value,...",
                    spec);
    }
    *name = copy_part(spec, length);
    return *name ? DFL_OK : fail_memory();
}

void opts_free(opts *o) {
    for (int i = 0; i < o->n; i++) {
        free(o->v[i].text);
        free(o->v[i].list);
    }
    *o = (opts){0};
}

bool opt_is_auto(const opt_value *v) {
    return v->set && v->row->type == OPT_REAL && isnan(v->number);
}

const opt_value *opts_unresolved(const opts *o) {
    for (int i = 0; i < o->n; i++)
        if (opt_is_auto(&o->v[i])) return &o->v[i];
    return NULL;
}

const opt_value *opt_get(const opts *o, const char *key) {
    static const opt_value unset;
    for (int i = 0; i < o->n; i++) {
        if (!strcmp(o->v[i].row->key, key)) return &o->v[i];
    }
    assert(key == NULL && "an option that is not in its table");
    return &unset;
}

/* From the text, because a double does not hold every 64-bit integer. */
long long opt_int(const opts *o, const char *key) {
    long long x = 0;
    const opt_value *const v = opt_get(o, key);
    return v->set && text_to_int(v->text, &x) ? x : 0;
}

double opt_real(const opts *o, const char *key) {
    return opt_get(o, key)->number;
}

bool opt_bool(const opts *o, const char *key) {
    return opt_get(o, key)->number != 0;
}

int opt_choice(const opts *o, const char *key) {
    return (int)opt_get(o, key)->number;
}

const char *opt_text(const opts *o, const char *key) {
    return opt_get(o, key)->text;
}
