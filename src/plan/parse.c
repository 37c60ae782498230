/* Reading a plan's JSON. Everything is checked for type, shape and size before it is used; what the
   numbers mean together is the verifier's business. */
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

typedef struct {
    program code;
    text warnings;
    size_t table; /* numbers in kernel tables so far */
} reader;

static dfl_status read_number(const json_in *in, const char *key, const json_t *j, double *out) {
    if (!json_is_number(j))
        return fail(DFL_E_FORMAT, "%s, \"%s\": a number is needed here", in->where, key);
    *out = json_number_value(j);
    return DFL_OK;
}

/* m numbers as [..], or the bare number if m == 1. */
static dfl_status read_vector(const json_in *in, const char *key, const json_t *j, int m,
                              double *out) {
    if (m == 1) return read_number(in, key, j, out);
    if (!json_is_array(j) || json_array_size(j) != (size_t)m)
        return fail(DFL_E_FORMAT, "%s, \"%s\": an array of %d numbers is needed here", in->where,
                    key, m);
    for (int i = 0; i < m; i++) TRY(read_number(in, key, json_array_get(j, (size_t)i), out + i));
    return DFL_OK;
}

/* m x n numbers as [[..],..], or the bare number for 1 x 1. */
static dfl_status read_matrix(const json_in *in, const char *key, const json_t *j, int m, int n,
                              double *out) {
    if (m == 1 && n == 1) return read_number(in, key, j, out);
    if (!json_is_array(j) || json_array_size(j) != (size_t)m)
        return fail(DFL_E_FORMAT, "%s, \"%s\": %d rows of %d numbers are needed here", in->where,
                    key, m, n);
    for (int i = 0; i < m; i++) {
        const json_t *line = json_array_get(j, (size_t)i);
        if (!json_is_array(line) || json_array_size(line) != (size_t)n)
            return fail(DFL_E_FORMAT, "%s, \"%s\": rows of %d numbers are needed here", in->where,
                        key, n);
        for (int k = 0; k < n; k++)
            TRY(read_number(in, key, json_array_get(line, (size_t)k), out + i * n + k));
    }
    return DFL_OK;
}

/* A number, or a block of 1 or 2 rows of 1 or 2 numbers. */
static dfl_status read_blk(const json_in *in, const char *key, const json_t *j, blk *out) {
    *out = blk_real(0);
    if (!json_is_array(j)) return read_number(in, key, j, out->v);
    const size_t m = json_array_size(j), n = json_array_size(json_array_get(j, 0));
    if (m < 1 || m > 2 || n < 1 || n > 2)
        return fail(DFL_E_FORMAT, "%s, \"%s\": a block has 1 or 2 rows of 1 or 2 numbers",
                    in->where, key);
    out->m = (uint8_t)m;
    out->n = (uint8_t)n;
    if (m == 1 && n == 1)
        return read_number(in, key, json_array_get(json_array_get(j, 0), 0), out->v);
    return read_matrix(in, key, j, (int)m, (int)n, out->v);
}

static dfl_status pair(const json_in *in, const char *key, const json_t **first,
                       const json_t **second) {
    const json_t *array;
    TRY(json_get_array(in, key, &array));
    if (json_array_size(array) != 2)
        return fail(DFL_E_FORMAT, "%s, \"%s\": two entries are needed", in->where, key);
    *first = json_array_get(array, 0);
    *second = json_array_get(array, 1);
    return DFL_OK;
}

static dfl_status read_label(const json_in *in, int components, marginal *at) {
    const json_t *a = NULL, *b = NULL;
    TRY(pair(in, "at", &a, &b));
    TRY(read_vector(in, "at", a, components, at->a));
    return read_matrix(in, "at", b, components, components, at->b);
}

/* The output's components show in the shape of cx. */
static dfl_status read_gives(const json_in *in, int components, netgives *g, int *outputs) {
    const json_t *cx = NULL, *cn = NULL;
    TRY(pair(in, "gives", &cx, &cn));
    *outputs = json_is_array(cx) ? 2 : 1;
    TRY(read_vector(in, "gives", cx, *outputs, g->cx));
    return read_matrix(in, "gives", cn, *outputs, components, g->cn);
}

/* "src": a number, or an array of them; absent is fine where the verifier allows it. */
static dfl_status read_sources(const json_in *in, term *terms, size_t *n) {
    const json_t *j = json_object_get(in->object, "src");
    *n = 0;
    if (!j) return DFL_OK;
    const size_t count = json_is_array(j) ? json_array_size(j) : 1;
    if (count > PLAN_SOURCES_MAX)
        return fail(DFL_E_RANGE, "%s, \"src\": %zu sources; up to %d are allowed", in->where, count,
                    PLAN_SOURCES_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_is_array(j) ? json_array_get(j, i) : j;
        const json_int_t v = json_is_integer(one) ? json_integer_value(one) : -1;
        if (v < 0 || v > 2 * PLAN_ROWS_MAX)
            return fail(DFL_E_FORMAT, "%s, \"src\": numbers of values are needed", in->where);
        terms[i] = (term){(val)v, blk_real(1)};
    }
    *n = count;
    return DFL_OK;
}

static dfl_status read_lin(const json_in *in, term *terms, size_t n) {
    const json_t *c;
    TRY(json_get_array(in, "c", &c));
    if (json_array_size(c) != n)
        return fail(DFL_E_FORMAT, "%s: %zu sources but %zu coefficients", in->where, n,
                    json_array_size(c));
    for (size_t i = 0; i < n; i++) TRY(read_blk(in, "c", json_array_get(c, i), &terms[i].c));
    return DFL_OK;
}

static dfl_status read_draw(const json_in *in, row *r) {
    long long draw;
    TRY(json_get_int(in, "draw", 0, PLAN_DRAWS_MAX - 1, &draw));
    r->draw = (uint32_t)draw;
    return DFL_OK;
}

static dfl_status read_step(const reader *rd, const json_in *in, row *r) {
    long long order = 0;
    TRY(json_get_real(in, "t", &r->t));
    TRY(read_label(in, rd->code.components, &r->at));
    if (json_has(in, "order")) TRY(json_get_int(in, "order", 0, 1000, &order));
    r->order = (int)order;
    return DFL_OK;
}

static dfl_status read_given(reader *rd, const json_in *in, row *r) {
    const char *name;
    TRY(json_get_text(in, "name", &name));
    for (size_t i = 0; i < rd->code.nnames; i++) {
        r->index = (int)i;
        if (strcmp(rd->code.names[i], name) == 0) return DFL_OK;
    }
    r->index = (int)rd->code.nnames;
    if (rd->code.nnames == PLAN_LISTS_MAX)
        return fail(DFL_E_RANGE, "%s: more than %d names", in->where, PLAN_LISTS_MAX);
    return program_add_name(&rd->code, name);
}

/* The fields of one kind; *components are those of dst. */
static dfl_status read_fields(reader *rd, const json_in *in, row *r, int *components) {
    long long kernel;
    switch (r->op) {
    case ROW_EVAL:
        TRY(json_get_real(in, "t", &r->t));
        TRY(json_get_real(in, "tau", &r->tau));
        TRY(read_label(in, rd->code.components, &r->at));
        return read_gives(in, rd->code.components, &r->gives, components);
    case ROW_NOISE: return read_draw(in, r);
    case ROW_STEP: return read_step(rd, in, r);
    case ROW_MIX:
        TRY(read_draw(in, r));
        TRY(json_get_int(in, "kernel", 0, PLAN_KERNELS_MAX, &kernel));
        r->index = (int)kernel;
        return DFL_OK;
    case ROW_CLIP: TRY(json_get_real(in, "lo", &r->lo)); return json_get_real(in, "hi", &r->hi);
    case ROW_LIMIT:
        TRY(json_get_real(in, "quantile", &r->lo));
        return json_get_real(in, "floor", &r->hi);
    case ROW_GIVEN: return read_given(rd, in, r);
    default: return DFL_OK;
    }
}

static const char *const known_fields[ROW_KINDS] = {
    [ROW_EVAL] = "op|dst|src|t|tau|at|gives",
    [ROW_LIN] = "op|dst|src|c",
    [ROW_NOISE] = "op|dst|draw",
    [ROW_STEP] = "op|src|t|at|order",
    [ROW_MIX] = "op|dst|src|draw|kernel",
    [ROW_CLIP] = "op|dst|src|lo|hi",
    [ROW_LIMIT] = "op|dst|src|quantile|floor",
    [ROW_GIVEN] = "op|dst|name",
    [ROW_SELECT] = "op|dst|src",
};

static dfl_status read_op(const json_in *in, row_op *op) {
    const char *name;
    TRY(json_get_text(in, "op", &name));
    for (int i = 0; i < ROW_KINDS; i++)
        if (strcmp(name, plan_ops[i]) == 0) {
            *op = (row_op)i;
            return DFL_OK;
        }
    return fail(DFL_E_FORMAT,
                "%s: unknown op \"%.40s\"; this version knows EVAL, LIN, NOISE, STEP, "
                "MIX, CLIP, LIMIT, GIVEN and SELECT",
                in->where, name);
}

/* Components of a LIN's result: the rows of its first block, else those of its first source. */
static int lin_components(const program *code, const term *terms, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (terms[i].c.m) return terms[i].c.m;
    return n && (size_t)terms[0].v < code->nvalues ? code->comp[terms[0].v] : code->components;
}

static int inherited_components(const reader *rd, const row *r, const term *terms, size_t n) {
    const program *code = &rd->code;
    if (r->op == ROW_LIN) return lin_components(code, terms, n);
    const bool from_source = r->op == ROW_CLIP || r->op == ROW_LIMIT || r->op == ROW_SELECT;
    if (from_source && n && (size_t)terms[0].v < code->nvalues) return code->comp[terms[0].v];
    return code->components;
}

static dfl_status read_row(reader *rd, const json_in *in) {
    row r = {.dst = -1};
    term terms[PLAN_SOURCES_MAX];
    size_t n = 0;
    TRY(read_op(in, &r.op));
    json_unknown(in, known_fields[r.op], &rd->warnings);
    TRY(read_sources(in, terms, &n));
    if (r.op == ROW_LIN) TRY(read_lin(in, terms, n));
    int components = inherited_components(rd, &r, terms, n);
    TRY(read_fields(rd, in, &r, &components));
    if (r.op != ROW_STEP) {
        long long dst;
        val id;
        TRY(json_get_int(in, "dst", 0, 2 * PLAN_ROWS_MAX, &dst));
        TRY(program_add_value(&rd->code, components, &id));
        r.dst = (val)dst;
    }
    r.nsrc = n;
    return program_add_row(&rd->code, &r, terms);
}

static dfl_status read_kernel(reader *rd, const json_in *in) {
    mix_kernel k = {0};
    size_t n = 0;
    int law, covariance;
    long long table = 0;
    json_unknown(in, "pi|offsets|data|table|s|sigma|covariance", &rd->warnings);
    TRY(json_get_choice(in, "offsets", plan_laws, &law));
    TRY(json_get_choice(in, "covariance", plan_covariances, &covariance));
    TRY(json_get_real(in, "s", &k.s));
    TRY(json_get_real(in, "sigma", &k.sigma));
    if (law != OFFSETS_DATA) TRY(json_get_int(in, "table", 0, PLAN_DRAWS_MAX - 1, &table));
    TRY(json_get_reals(in, "pi", PLAN_MIX_MAX, &k.pi, &n));
    k.K = (int)n;
    k.law = (offset_law)law;
    k.covariance = (mix_covariance)covariance;
    k.table = (uint32_t)table;
    dfl_status status = DFL_OK;
    if (law == OFFSETS_DATA)
        status = json_get_reals(in, "data", PLAN_TABLE_MAX - rd->table, &k.data, &k.ndata);
    rd->table += k.ndata;
    if (status != DFL_OK) {
        free(k.pi);
        return status;
    }
    return program_add_kernel(&rd->code, &k);
}

static dfl_status read_input(reader *rd, const json_in *in) {
    plan_input input = {0};
    long long id;
    val v;
    json_unknown(in, "id|t|at|scale", &rd->warnings);
    TRY(json_get_int(in, "id", 0, PLAN_LISTS_MAX, &id));
    TRY(json_get_real(in, "t", &input.t));
    TRY(read_label(in, rd->code.components, &input.at));
    if (!json_has(in, "scale"))
        return fail(DFL_E_KEY, "%s: key \"scale\" is missing; a number or a block is needed",
                    in->where);
    TRY(read_blk(in, "scale", json_object_get(in->object, "scale"), &input.scale));
    input.id = (val)id;
    TRY(program_add_value(&rd->code, rd->code.components, &v));
    return program_add_input(&rd->code, &input);
}

/* Every object of an array, in order. */
static dfl_status each(reader *rd, const json_in *top, const char *key, size_t max,
                       dfl_status (*read)(reader *, const json_in *)) {
    const json_t *array;
    TRY(json_get_array(top, key, &array));
    const size_t n = json_array_size(array);
    if (n > max)
        return fail(DFL_E_RANGE, "%s, \"%s\": %zu entries; up to %zu are allowed", top->where, key,
                    n, max);
    for (size_t i = 0; i < n; i++) {
        json_in in = {json_array_get(array, i), {0}};
        snprintf(in.where, sizeof in.where, "plan, %s %zu", key, i);
        if (!json_is_object(in.object))
            return fail(DFL_E_FORMAT, "%s: an object is needed here", in.where);
        TRY(read(rd, &in));
    }
    return DFL_OK;
}

static dfl_status read_outputs(reader *rd, const json_in *top) {
    const json_t *array;
    TRY(json_get_array(top, "outputs", &array));
    const size_t n = json_array_size(array);
    for (size_t i = 0; i < n && i <= PLAN_LISTS_MAX; i++) {
        const json_t *j = json_array_get(array, i);
        const json_int_t v = json_is_integer(j) ? json_integer_value(j) : -1;
        if (v < 0 || v > 2 * PLAN_ROWS_MAX)
            return fail(DFL_E_FORMAT, "plan, \"outputs\": numbers of values are needed");
        TRY(program_add_output(&rd->code, (val)v));
    }
    return DFL_OK;
}

static dfl_status read_top(reader *rd, const json_in *top) {
    long long components;
    TRY(json_check_format(top, "driftless-plan/1"));
    json_unknown(top, "format|components|inputs|outputs|kernels|rows|counts|meta", &rd->warnings);
    TRY(json_get_int(top, "components", 1, 2, &components));
    rd->code.components = (int)components;
    TRY(each(rd, top, "inputs", PLAN_LISTS_MAX, read_input));
    TRY(read_outputs(rd, top));
    if (json_has(top, "kernels")) TRY(each(rd, top, "kernels", PLAN_KERNELS_MAX, read_kernel));
    return each(rd, top, "rows", PLAN_ROWS_MAX, read_row);
}

/* Counts that are given must be true. */
static dfl_status check_counts(const json_in *top, const dfl_plan *plan) {
    if (!json_has(top, "counts")) return DFL_OK;
    json_in counts;
    TRY(json_get_object(top, "counts", &counts));
    const struct {
        const char *key;
        size_t is;
    } rule[] = {{"rows", plan->code.nrows}, {"values", plan->code.nvalues}, {"steps", plan->steps},
                {"nfe", plan->nfe},         {"draws", plan->draws},         {"picks", plan->picks}};
    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
        if (!json_has(&counts, rule[i].key)) continue;
        long long said;
        TRY(json_get_int(&counts, rule[i].key, 0, 1LL << 40, &said));
        if ((size_t)said != rule[i].is)
            return fail(DFL_E_FORMAT, "plan: says %s=%lld, but its rows make %zu", rule[i].key,
                        said, rule[i].is);
    }
    return DFL_OK;
}

static dfl_status read_meta(const json_in *top, plan_meta *meta) {
    if (!json_has(top, "meta")) return DFL_OK;
    json_in in;
    TRY(json_get_object(top, "meta", &in));
    for (int i = 0; i < PLAN_META; i++) {
        const char *key, *value;
        char **const to = plan_meta_at(meta, i, &key);
        if (!json_has(&in, key)) continue;
        TRY(json_get_text(&in, key, &value));
        if (!(*to = text_copy(value))) return fail_memory();
    }
    return DFL_OK;
}

dfl_status plan_parse(const char *json, size_t length, dfl_plan **out) {
    *out = NULL;
    if (length > PLAN_TEXT_MAX)
        return fail(DFL_E_RANGE, "plan: %zu bytes of JSON; up to %zu are allowed", length,
                    PLAN_TEXT_MAX);
    json_t *root = NULL;
    json_in top;
    TRY(json_open("plan", json, length, &root, &top));
    reader rd = {0};
    dfl_status status = read_top(&rd, &top);
    if (status == DFL_OK && rd.warnings.failed) status = fail_memory();
    if (status == DFL_OK) status = plan_finish(&rd.code, out);
    if (status == DFL_OK) {
        (*out)->warnings = rd.warnings;
        rd.warnings = (text){0};
        status = check_counts(&top, *out);
    }
    if (status == DFL_OK) status = read_meta(&top, &(*out)->meta);
    program_free(&rd.code);
    text_free(&rd.warnings);
    json_decref(root);
    if (status != DFL_OK) {
        plan_free(*out);
        *out = NULL;
    }
    return status;
}
