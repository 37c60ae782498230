/* Option texts made from the registries: adding a row to one of them adds its cases here. */
#include "support/cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Numbers of a wider range than this are for tuning, and far out only good for nothing. */
enum { VALUES_MAX = 8, WORD_SIZE = 40, WIDE = 10 };

typedef struct {
    char word[VALUES_MAX][WORD_SIZE];
    size_t n;
} values;

static void add_number(values *v, double x) {
    snprintf(v->word[v->n++], WORD_SIZE, "%.10g", x);
}

static void add_choices(values *v, const char *choices) {
    for (const char *c = choices; *c && v->n < VALUES_MAX;) {
        const size_t length = strcspn(c, "|");
        snprintf(v->word[v->n++], WORD_SIZE, "%.*s", (int)length, c);
        c += length + (c[length] == '|');
    }
}

/* Nothing for options that keep their default. */
static values values_of(const opt_row *option, bool numbers) {
    values v = {.n = 0};
    if (option->type == OPT_CHOICE) add_choices(&v, option->choices);
    if (option->type == OPT_BOOL) add_choices(&v, "0|1");
    if (option->type == OPT_INT && numbers && option->max - option->min < 5)
        for (double x = option->min; x <= option->max; x++) add_number(&v, x);
    if (option->type == OPT_REAL && numbers && isfinite(option->max) && isfinite(option->min)) {
        if (option->max - option->min <= WIDE) {
            add_number(&v, option->min);
            add_number(&v, (option->min + option->max) / 2);
            add_number(&v, option->max);
        } else if (option->fallback) {
            add_choices(&v, option->fallback);
            add_number(&v, (option->min + option->max) / 2);
        }
    }
    return v;
}

static void list_add(spec_list *list, const char *spec) {
    char(*grown)[SPEC_SIZE] = realloc(list->spec, (list->n + 1) * SPEC_SIZE);
    assert_non_null(grown);
    list->spec = grown;
    snprintf(grown[list->n++], SPEC_SIZE, "%s", spec);
}

static void add_variants(spec_list *list, const opt_row *rest, bool numbers, const char *prefix) {
    while (rest->key && values_of(rest, numbers).n == 0) rest++;
    if (!rest->key) {
        list_add(list, prefix);
        return;
    }
    const values v = values_of(rest, numbers);
    for (size_t i = 0; i < v.n; i++) {
        char longer[SPEC_SIZE];
        const char joint = strchr(prefix, ':') ? ',' : ':';
        const int length =
            snprintf(longer, sizeof longer, "%s%c%s=%s", prefix, joint, rest->key, v.word[i]);
        assert_true(length < SPEC_SIZE);
        add_variants(list, rest + 1, numbers, longer);
    }
}

spec_list specs_of(const family *f, bool numbers) {
    spec_list list = {0};
    for (size_t i = 0; i < f->n; i++)
        add_variants(&list, f->rows[i]->options, numbers, f->rows[i]->name);
    return list;
}

void specs_free(spec_list *list) {
    free(list->spec);
    *list = (spec_list){0};
}

/* ---- grids ----------------------------------------------------------------------------------- */

static char times_path[64];

static void remove_times(void) {
    remove(times_path);
}

/* One file of this test's own, written anew for every case and gone when the test ends. */
static void write_times(const char *times) {
    if (!times_path[0]) {
        snprintf(times_path, sizeof times_path, "/tmp/driftless-times-XXXXXX");
        const int made = mkstemp(times_path);
        assert_true(made >= 0);
        close(made);
        atexit(remove_times);
    }
    FILE *file = fopen(times_path, "w");
    assert_non_null(file);
    assert_true(fputs(times, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void uneven_times(double start, double end, int steps, text *out) {
    text_add(out, "%.17g", start);
    for (int i = 1; i <= steps; i++) {
        const double w = pow((double)i / steps, 0.7);
        text_add(out, ",%.17g", i == steps ? end : start + w * (end - start));
    }
}

void grid_spec(const family_row *grid, double start, double end, int steps, char *out, size_t cap) {
    text times = {0};
    uneven_times(start, end, steps, &times);
    const opt_row *first = grid->options;
    int length = 0;
    if (first && first->key && strcmp(first->key, "times") == 0)
        length = snprintf(out, cap, "%s:times=[%s]", grid->name, times.data);
    else if (first && first->key && strcmp(first->key, "path") == 0) {
        write_times(times.data);
        length = snprintf(out, cap, "%s:path=%s", grid->name, times_path);
    } else
        length = snprintf(out, cap, "%s", grid->name);
    assert_true(length >= 0 && (size_t)length < cap);
    text_free(&times);
}

/* ---- scalar cases ---------------------------------------------------------------------------- */

static void list_drop(spec_list *list, size_t i) {
    list->n--;
    memmove(list->spec[i], list->spec[i + 1], (list->n - i) * SPEC_SIZE);
}

static bool is_scalar_process(const char *spec) {
    process *p;
    assert_ok(process_new(spec, &p));
    const bool scalar = p->row->components == 1;
    process_free(p);
    return scalar;
}

spec_list scalar_processes(void) {
    spec_list list = specs_of(&process_family, false);
    for (size_t i = list.n; i-- > 0;)
        if (!is_scalar_process(list.spec[i])) list_drop(&list, i);
    return list;
}

static bool same_rows(const program *p, const program *q) {
    if (p->nrows != q->nrows || p->nterms != q->nterms) return false;
    for (size_t i = 0; i < p->nrows; i++)
        if (p->rows[i].op != q->rows[i].op || p->rows[i].t != q->rows[i].t) return false;
    for (size_t i = 0; i < p->nterms; i++)
        if (p->terms[i].v != q->terms[i].v || p->terms[i].c.v[0] != q->terms[i].c.v[0])
            return false;
    return true;
}

static bool same_name(const char *one, const char *other) {
    const size_t length = strcspn(one, ":");
    return length == strcspn(other, ":") && strncmp(one, other, length) == 0;
}

static bool same_solver(const char *one, const char *other) {
    if (!same_name(one, other)) return false;
    const plan_case c = {.process = "vp_linear", .solver = one, .steps = 6};
    plan_case d = c;
    d.solver = other;
    dfl_plan *p = case_compile(&c), *q = case_compile(&d);
    const bool same = same_rows(&p->code, &q->code);
    plan_free(p);
    plan_free(q);
    return same;
}

static bool of_phase_space(const char *solver) {
    const plan_case c = {.process = "vp_linear", .solver = solver, .steps = 6};
    dfl_plan *plan = NULL;
    const dfl_status status = case_try(&c, &plan);
    plan_free(plan);
    return status != DFL_OK && strstr(dfl_last_message(), "is for phase-space processes");
}

/* The variants a solver names, or every combination of its options. */
static spec_list solver_specs(void) {
    spec_list list = {0};
    for (size_t i = 0; i < solver_family.n; i++) {
        const solver_row *solver = (const solver_row *)solver_family.rows[i];
        if (!solver->variants) add_variants(&list, solver->is.options, true, solver->is.name);
        for (size_t k = 0; solver->variants && solver->variants[k]; k++) {
            char spec[SPEC_SIZE];
            snprintf(spec, sizeof spec, "%s:%s", solver->is.name, solver->variants[k]);
            list_add(&list, spec);
        }
    }
    return list;
}

/* Of each solver's variants, which follow each other, the first and then one of every few. */
static void thin(spec_list *list) {
    const size_t every = one_of_every("SOLVERS_EVERY");
    size_t kept = 0, variant = 0;
    char last[SPEC_SIZE] = "";
    for (size_t i = 0; i < list->n; i++) {
        variant = same_name(list->spec[i], last) ? variant + 1 : 0;
        memcpy(last, list->spec[i], SPEC_SIZE);
        if (variant % every == 0) memmove(list->spec[kept++], last, SPEC_SIZE);
    }
    list->n = kept;
}

spec_list scalar_solvers(void) {
    spec_list list = solver_specs();
    for (size_t i = list.n; i-- > 0;) {
        const plan_case c = {.solver = list.spec[i]};
        const bool scalar = case_solver(&c)->spaces & SOLVER_SCALAR;
        if (!scalar || of_phase_space(c.solver)) list_drop(&list, i);
    }
    for (size_t i = list.n; i-- > 0;) {
        bool drop = false;
        for (size_t k = 0; k < i && !drop; k++) drop = same_solver(list.spec[k], list.spec[i]);
        if (drop) list_drop(&list, i);
    }
    thin(&list);
    return list;
}

spec_list reference_processes(bool variants) {
    spec_list list = {0};
    for (size_t i = 0; i < process_family.n; i++) {
        static const opt_row none[] = {{0}};
        const process_row *p = (const process_row *)process_family.rows[i];
        const size_t first = list.n;
        if (p->components != 1) continue;
        add_variants(&list, variants ? p->is.options : none, false, p->is.name);
        for (size_t k = first; k < list.n && p->reference_options[0]; k++) {
            const size_t used = strlen(list.spec[k]);
            const char joint = strchr(list.spec[k], ':') ? ',' : ':';
            const int more = snprintf(list.spec[k] + used, SPEC_SIZE - used, "%c%s", joint,
                                      p->reference_options);
            assert_true(used + (size_t)more < SPEC_SIZE);
        }
    }
    return list;
}
