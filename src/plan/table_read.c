/* Reading tables of coefficients: untrusted input, one sentence for everything that can be wrong. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "plan/table.h"

enum { FILE_LIMIT = 1 << 24, LENGTH_MAX = 100000, CELLS_MAX = TABLE_OUTPUTS_MAX + 3 };

void table_free(plan_table *t) {
    free(t->steps);
    free(t->source);
    *t = (plan_table){0};
}

static dfl_status add_step(plan_table *t, const table_step *s) {
    if (t->n == TABLE_STEPS_MAX) return fail(DFL_E_RANGE, "more than %d steps", TABLE_STEPS_MAX);
    if (!mem_grow((void **)&t->steps, &t->cap, t->n + 1, sizeof *t->steps)) return fail_memory();
    t->steps[t->n++] = *s;
    return DFL_OK;
}

/* Index of a word in "a|b|c", or -1. */
static int choice_of(const char *choices, const char *word) {
    const size_t n = strlen(word);
    int index = 0;
    for (const char *at = choices; n > 0; at++, index++) {
        const size_t length = strcspn(at, "|");
        if (length == n && memcmp(at, word, n) == 0) return index;
        at += length;
        if (!*at) break;
    }
    return -1;
}

/* ---- CSV --------------------------------------------------------------------------------------- */

/* The cells of a line, without blanks around them; the line is cut up. 0: more than fit. */
static size_t split(char *line, char *cell[CELLS_MAX]) {
    size_t n = 0;
    for (char *at = line;;) {
        char *const end = at + strcspn(at, ",");
        const bool last = *end == 0;
        if (n == CELLS_MAX) return 0;
        *end = 0;
        at += strspn(at, " \t\r");
        for (size_t k = strlen(at); k > 0 && strchr(" \t\r", at[k - 1]); k--) at[k - 1] = 0;
        cell[n++] = at;
        if (last) return n;
        at = end + 1;
    }
}

/* "sigma_from" is a quantity and an end. */
static bool is_time(const char *word, const char *end, int *quantity) {
    char name[32];
    const size_t n = strlen(word), m = strlen(end);
    if (n <= m || n - m >= sizeof name || strcmp(word + n - m, end) != 0) return false;
    snprintf(name, sizeof name, "%.*s", (int)(n - m), word);
    *quantity = grid_quantity(name);
    return *quantity >= 0;
}

/* t_from, t_to, x, epsilon, epsilon_1, epsilon_2, ... */
static dfl_status read_header(plan_table *t, char *const *cell, size_t n) {
    int from = -1, to = -1;
    if (n < 4 || !is_time(cell[0], "_from", &from) || !is_time(cell[1], "_to", &to) || from != to ||
        strcmp(cell[2], "x") != 0)
        return fail(
            DFL_E_FORMAT,
            "the columns must be t_from, t_to, x, then those of the outputs, such as epsilon, "
            "epsilon_1; in place of t one of %s",
            grid_quantities);
    const int predicts = choice_of(netform_predictions, cell[3]);
    if (predicts < 0)
        return fail(DFL_E_FORMAT, "'%.40s' is no prediction type; choose from %s", cell[3],
                    netform_predictions);
    for (size_t k = 1; k + 3 < n; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%zu", cell[3], k);
        if (strcmp(cell[k + 3], name) != 0)
            return fail(DFL_E_FORMAT,
                        "column '%.40s' where %s, the output %zu steps before, must be",
                        cell[k + 3], name, k);
    }
    t->unit.quantity = from;
    t->predicts = (prediction)predicts;
    return DFL_OK;
}

/* An output's cell may be empty or missing: the step does not use it. */
static dfl_status read_step(plan_table *t, char *const *cell, size_t n, size_t columns) {
    table_step s = {.outputs = columns - 3};
    double *const first[] = {&s.from, &s.to, &s.x};
    if (n < 4 || n > columns)
        return fail(DFL_E_FORMAT, "%zu cells; the header has %zu columns", n, columns);
    for (size_t k = 0; k < n; k++) {
        double *const to = k < 3 ? first[k] : &s.c[k - 3];
        if (k > 2 && !*cell[k]) continue;
        if (!text_to_real(cell[k], to) || !isfinite(*to))
            return fail(DFL_E_FORMAT, "'%.40s' is not a number", cell[k]);
    }
    return add_step(t, &s);
}

static dfl_status read_csv(plan_table *t, char *data) {
    size_t line = 0, columns = 0;
    for (char *at = data; at; line++) {
        char *const end = strchr(at, '\n'), *cell[CELLS_MAX];
        if (end) *end = 0;
        const char *const begin = at + strspn(at, " \t\r");
        if (*begin && *begin != '#') {
            const size_t n = split(at, cell);
            dfl_status status =
                n ? DFL_OK : fail(DFL_E_RANGE, "more than %d columns", (int)CELLS_MAX);
            if (n && columns) status = read_step(t, cell, n, columns);
            if (n && !columns) status = read_header(t, cell, n), columns = n;
            if (status != DFL_OK) return fail_in(status, "line %zu", line + 1);
        }
        at = end ? end + 1 : NULL;
    }
    return DFL_OK;
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static dfl_status read_object(const json_in *in, plan_table *t) {
    double *c = NULL;
    table_step s = {0};
    TRY(json_get_real(in, "from", &s.from));
    TRY(json_get_real(in, "to", &s.to));
    TRY(json_get_real(in, "x", &s.x));
    TRY(json_get_reals(in, "outputs", TABLE_OUTPUTS_MAX, &c, &s.outputs));
    memcpy(s.c, c, s.outputs * sizeof *c);
    free(c);
    return add_step(t, &s);
}

static dfl_status read_steps(const json_in *in, plan_table *t) {
    const json_t *steps;
    TRY(json_get_array(in, "steps", &steps));
    for (size_t i = 0; i < json_array_size(steps); i++) {
        json_in one = {.object = json_array_get(steps, i)};
        snprintf(one.where, sizeof one.where, "%.200s, step %zu", in->where, i + 1);
        if (!json_is_object(one.object))
            return fail(DFL_E_FORMAT, "%s: an object is needed", one.where);
        TRY(read_object(&one, t));
    }
    return DFL_OK;
}

static dfl_status read_members(const json_in *in, plan_table *t) {
    int predicts, quantity = GRID_T;
    long long length = 1000;
    const char *source;
    TRY(json_check_format(in, "driftless-table/1"));
    TRY(json_get_choice(in, "prediction_type", netform_predictions, &predicts));
    if (json_has(in, "times")) TRY(json_get_choice(in, "times", grid_quantities, &quantity));
    if (json_has(in, "num_train_timesteps"))
        TRY(json_get_int(in, "num_train_timesteps", 2, LENGTH_MAX, &length));
    if (json_has(in, "source")) {
        TRY(json_get_text(in, "source", &source));
        t->source = text_copy(source);
        if (!t->source) return fail_memory();
    }
    t->predicts = (prediction)predicts;
    t->unit = (grid_unit){quantity, (size_t)length};
    return read_steps(in, t);
}

/* ---- both -------------------------------------------------------------------------------------- */

static dfl_status read_any(plan_table *t, char *data, size_t size) {
    json_t *root = NULL;
    json_in in;
    if (strlen(data) != size) return fail(DFL_E_FORMAT, "a zero byte is in it");
    if (data[strspn(data, " \t\r\n")] != '{') return read_csv(t, data);
    TRY(json_open("JSON", data, size, &root, &in));
    const dfl_status status = read_members(&in, t);
    json_decref(root);
    return status;
}

dfl_status table_read(const char *path, plan_table *out) {
    char *data = NULL;
    size_t size;
    *out = (plan_table){.unit = {.length = 1000}};
    TRY(file_read(path, FILE_LIMIT, &data, &size));
    dfl_status status = read_any(out, data, size);
    free(data);
    if (status == DFL_OK && out->n == 0) status = fail(DFL_E_FORMAT, "a table without steps");
    if (status == DFL_OK) return DFL_OK;
    table_free(out);
    return fail_in(status, "%s", path);
}
