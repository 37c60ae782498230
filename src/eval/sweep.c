/* A sweep's list of cells: ways to sample, budgets, seeds, and the plans of all of them. */
#include "eval/sweep.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "run/run.h"

enum { ARGV_MAX = 64, SLUG_MAX = 52 };

/* ---- lists of words -------------------------------------------------------------------------- */

/* Length of the word at s, which ends at a blank outside quotes and brackets. */
static size_t word_length(const char *s) {
    char quote = 0;
    int depth = 0;
    size_t n = 0;
    for (; s[n]; n++) {
        if (quote) {
            if (s[n] == quote) quote = 0;
        } else if (s[n] == '\'' || s[n] == '"') {
            quote = s[n];
        } else {
            depth += (s[n] == '[') - (s[n] == ']');
            if (depth <= 0 && strchr(" \t\r\n", s[n])) break;
        }
    }
    return n;
}

static char *copy_part(const char *s, size_t n) {
    char *copy = mem_array(n + 1, 1);
    if (copy) memcpy(copy, s, n);
    return copy;
}

void sweep_way_free(sweep_way *w) {
    free(w->label);
    free(w->solver);
    free(w->grid);
    for (size_t i = 0; w->argv && w->argv[i]; i++) free(w->argv[i]);
    free(w->argv);
    *w = (sweep_way){0};
}

static bool same_argv(char **a, char **b) {
    if (!a || !b) return a == b;
    size_t i = 0;
    while (a[i] && b[i] && strcmp(a[i], b[i]) == 0) i++;
    return !a[i] && !b[i];
}

bool sweep_same_peer(const sweep_way *a, const sweep_way *b) {
    return strcmp(a->label, b->label) == 0 && same_argv(a->argv, b->argv);
}

/* Adds a way, or marks the one that is there already; takes `way` over. */
dfl_status sweep_add_way(sweep *s, const sweep_way *way) {
    sweep_way given = *way;
    for (size_t i = 0; i < s->nways; i++) {
        sweep_way *old = &s->way[i];
        if (strcmp(old->label, given.label) != 0) continue;
        dfl_status status = DFL_OK;
        if (old->wanted)
            status = fail(DFL_E_ARG, "\"%s\" is asked for twice", given.label);
        else if (!same_argv(old->argv, given.argv))
            status = fail(DFL_E_COMBINATION,
                          "peer %s is another command in this folder; give it another name",
                          given.label);
        old->wanted = true;
        sweep_way_free(&given);
        return status;
    }
    if (s->nways == SWEEP_WAYS_MAX) {
        sweep_way_free(&given);
        return fail(DFL_E_RANGE, "a sweep has at most %d solvers and peers", SWEEP_WAYS_MAX);
    }
    s->way[s->nways++] = given;
    return DFL_OK;
}

/* "SOLVER@GRID"; an @ inside quotes belongs to a file's name. */
static dfl_status make_way(const char *word, size_t n, const char *grid, sweep_way *out) {
    size_t at = 0;
    char quote = 0;
    for (; at < n && (quote || word[at] != '@'); at++) {
        if (quote && word[at] == quote)
            quote = 0;
        else if (!quote && (word[at] == '\'' || word[at] == '"'))
            quote = word[at];
    }
    if (at == 0 || at + 1 == n)
        return fail(DFL_E_ARG, "--solvers: \"%.*s\" is not SOLVER or SOLVER@GRID", (int)n, word);
    text label = {0};
    out->solver = copy_part(word, at);
    out->grid = at < n ? copy_part(word + at + 1, n - at - 1) : text_copy(grid);
    if (out->solver && out->grid) text_add(&label, "%s@%s", out->solver, out->grid);
    out->label = label.failed ? NULL : label.data;
    out->wanted = true;
    if (out->label) return DFL_OK;
    text_free(&label);
    sweep_way_free(out);
    return fail_memory();
}

dfl_status sweep_add_ways(sweep *s, const char *list, const char *grid) {
    const size_t before = s->nways;
    while (*list) {
        list += strspn(list, " \t\r\n");
        const size_t n = word_length(list);
        sweep_way way = {0};
        if (n == 0) break;
        TRY(make_way(list, n, grid, &way));
        TRY(sweep_add_way(s, &way));
        list += n;
    }
    return s->nways > before || before > 0 ? DFL_OK : fail(DFL_E_ARG, "--solvers names no solver");
}

static dfl_status split_command(const char *words, sweep_way *way) {
    size_t n = 0;
    way->argv = mem_array(ARGV_MAX + 1, sizeof *way->argv);
    if (!way->argv) return fail_memory();
    for (words += strspn(words, " \t\r\n"); *words; words += strspn(words, " \t\r\n")) {
        const size_t length = word_length(words);
        const bool quoted =
            length >= 2 && (*words == '\'' || *words == '"') && words[length - 1] == *words;
        if (n == ARGV_MAX) return fail(DFL_E_RANGE, "--peer: at most %d arguments", ARGV_MAX);
        way->argv[n] = copy_part(words + quoted, length - 2 * (size_t)quoted);
        if (!way->argv[n++]) return fail_memory();
        words += length;
    }
    return n > 0 ? DFL_OK : fail(DFL_E_ARG, "--peer: \"%s\" names no program", way->label);
}

dfl_status sweep_add_peer(sweep *s, const char *given) {
    const char *equals = strchr(given, '=');
    const size_t n = equals ? (size_t)(equals - given) : 0;
    if (n == 0 || strcspn(given, " \t\r\n@,;\"") < n)
        return fail(
            DFL_E_ARG,
            "--peer: \"%s\" is not NAME=PROGRAM ARGS..., with a name without blanks and @ , ; "
            "\"",
            given);
    sweep_way way = {.wanted = true};
    way.label = copy_part(given, n);
    dfl_status status = way.label ? split_command(equals + 1, &way) : fail_memory();
    if (status == DFL_OK) return sweep_add_way(s, &way);
    sweep_way_free(&way);
    return status;
}

dfl_status sweep_add_budget(sweep *s, int nfe, bool wanted) {
    size_t at = 0;
    while (at < s->nbudgets && s->nfe[at] < nfe) at++;
    if (at < s->nbudgets && s->nfe[at] == nfe) {
        s->nfe_wanted[at] |= wanted;
        return DFL_OK;
    }
    if (s->nbudgets == SWEEP_BUDGETS_MAX)
        return fail(DFL_E_RANGE, "a sweep has at most %d budgets", SWEEP_BUDGETS_MAX);
    memmove(s->nfe + at + 1, s->nfe + at, (s->nbudgets - at) * sizeof *s->nfe);
    memmove(s->nfe_wanted + at + 1, s->nfe_wanted + at, (s->nbudgets - at) * sizeof(bool));
    s->nfe[at] = nfe;
    s->nfe_wanted[at] = wanted;
    s->nbudgets++;
    return DFL_OK;
}

/* ---- plans and cells ------------------------------------------------------------------------- */

/* Letters and digits of the label, and a few digits of its digest, so that no two are alike. */
static void name_cell(const char *label, int nfe, uint64_t seed, char name[SWEEP_NAME]) {
    char hex[DIGEST_HEX], slug[SLUG_MAX + 1];
    size_t n = 0;
    for (const char *p = label; *p && n < SLUG_MAX; p++) {
        const bool plain = isalnum((unsigned char)*p) && (unsigned char)*p < 128;
        if (plain || (n > 0 && slug[n - 1] != '-'))
            slug[n++] = plain ? (char)tolower((unsigned char)*p) : '-';
    }
    while (n > 0 && slug[n - 1] == '-') n--;
    slug[n] = 0;
    digest_bytes(label, strlen(label), hex);
    text t = {0};
    text_add(&t, "%s-%.6s-nfe%d-seed%llu", slug, hex, nfe, (unsigned long long)seed);
    name[0] = 0;
    if (!t.failed && t.len < SWEEP_NAME) memcpy(name, t.data, t.len + 1);
    text_free(&t);
}

/* What is not understood is refused at once; what a solver cannot do at this budget is a note. */
static dfl_status compile(sweep *s, sweep_point *p) {
    const sweep_way *w = &s->way[p->way];
    text spec = {0}, message = {0};
    if (!w->solver || !p->wanted) return DFL_OK;
    text_add(&spec, "solver=%s grid=%s nfe=%d%s", w->solver, w->grid, p->nfe, s->frame.tail);
    dfl_status status = spec.failed ? fail_memory() : dfl_plan_new(s->model, spec.data, &p->plan);
    text_free(&spec);
    if (status != DFL_E_RANGE && status != DFL_E_COMBINATION)
        return status == DFL_OK ? DFL_OK : fail_in(status, "%s", w->label);
    text_add(&message, "%.*s", SWEEP_NOTE - 1, dfl_last_message());
    if (message.failed) return fail_memory();
    memcpy(p->note, message.data, message.len + 1);
    text_free(&message);
    return DFL_OK;
}

static dfl_status lay_cells(sweep *s) {
    sweep_cell *c = s->cell;
    for (size_t b = 0; b < s->nbudgets; b++)
        for (size_t w = 0; w < s->nways; w++)
            for (size_t k = 0; k < s->nseeds; k++, c++) {
                c->point = w * s->nbudgets + b;
                c->seed = s->seed[k];
                c->wanted = s->point[c->point].wanted;
                c->result = (sweep_result){.fid = NAN, .kid = NAN, .kid_error = NAN};
                name_cell(s->way[w].label, s->nfe[b], c->seed, c->name);
                if (!*c->name) return fail_memory();
            }
    return DFL_OK;
}

dfl_status sweep_lay_out(sweep *s) {
    s->npoints = s->nways * s->nbudgets;
    s->ncells = s->npoints * s->nseeds;
    s->point = mem_array(s->npoints, sizeof *s->point);
    s->cell = mem_array(s->ncells, sizeof *s->cell);
    if (!s->point || !s->cell) return fail_memory();
    for (size_t i = 0; i < s->npoints; i++) {
        sweep_point *p = &s->point[i];
        p->way = i / s->nbudgets;
        p->nfe = s->nfe[i % s->nbudgets];
        p->wanted = s->way[p->way].wanted && s->nfe_wanted[i % s->nbudgets];
        TRY(compile(s, p));
    }
    return lay_cells(s);
}

dfl_status sweep_frame_fill(sweep *s) {
    const card *c = &s->model->card;
    text printed = {0};
    if (c->rank != 3 || (c->shape[0] != 1 && c->shape[0] != 3))
        return fail(DFL_E_COMBINATION, "a sweep looks at pictures: the samples of this model have "
                                       "no shape of 1 or 3 channels, height and width");
    TRY(extractor_fit(s->extractor, c->shape[1], c->shape[2], c->shape[0]));
    TRY(model_identify(s->model, s->frame.model));
    if (!*s->frame.model)
        return fail(DFL_E_ARG, "a sweep needs a model with a network, not a card alone");
    dfl_status status = card_print(c, &printed);
    if (status == DFL_OK && printed.failed) status = fail_memory();
    if (status == DFL_OK) digest_bytes(printed.data, printed.len, s->frame.card);
    text_free(&printed);
    memcpy(s->frame.extractor, extractor_digest(s->extractor), DIGEST_HEX);
    return status;
}

/* A cell without a number is tried again: its peer may have been mended. */
bool sweep_cell_pending(const sweep_cell *c) {
    return c->wanted && !(c->done && !*c->result.note);
}

size_t sweep_left(const sweep *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->ncells; i++)
        n += sweep_cell_pending(&s->cell[i]) && !*s->point[s->cell[i].point].note;
    return n;
}

size_t sweep_evaluations(const sweep *s) {
    const size_t calls = (size_t)dfl_model_calls(s->model);
    size_t sum = 0;
    for (size_t i = 0; i < s->ncells; i++) {
        const sweep_point *p = &s->point[s->cell[i].point];
        if (!sweep_cell_pending(&s->cell[i]) || *p->note) continue;
        sum += s->frame.samples * (p->plan ? dfl_plan_nfe(p->plan) * calls : (size_t)p->nfe);
    }
    return sum;
}

void sweep_free(sweep *s) {
    for (size_t i = 0; i < s->nways; i++) sweep_way_free(&s->way[i]);
    for (size_t i = 0; s->point && i < s->npoints; i++) dfl_plan_free(s->point[i].plan);
    free(s->point);
    free(s->cell);
    free(s->reference);
    gaussian_root_free(&s->real);
    s->nways = s->npoints = s->ncells = 0;
    s->point = NULL;
    s->cell = NULL;
    s->reference = NULL;
}
