/* A plan as JSON (docs/plan-format.md). Numbers are the shortest decimals that read back exactly,
   with a point whatever the locale. */
#include "plan/plan.h"

#include "base/json.h"

static void reals(text *out, const double *x, size_t n) {
    text_add(out, "[");
    for (size_t i = 0; i < n; i++) {
        if (i) text_add(out, ",");
        text_real(out, x[i]);
    }
    text_add(out, "]");
}

/* m x n numbers as rows in brackets; 1 x 1 as the bare number. */
static void matrix(text *out, const double *x, int m, int n) {
    if (m == 1 && n == 1) {
        text_real(out, x[0]);
        return;
    }
    text_add(out, "[");
    for (int i = 0; i < m; i++) {
        if (i) text_add(out, ",");
        reals(out, x + i * n, (size_t)n);
    }
    text_add(out, "]");
}

static void coefficient(text *out, const blk *c) {
    if (c->m == 0)
        text_real(out, c->v[0]);
    else if (c->m == 1 && c->n == 1) { /* a block all the same */
        text_add(out, "[");
        reals(out, c->v, 1);
        text_add(out, "]");
    } else
        matrix(out, c->v, c->m, c->n);
}

static void vector(text *out, const double *x, int m) {
    if (m == 1)
        text_real(out, x[0]);
    else
        reals(out, x, (size_t)m);
}

static void label(text *out, const marginal *at, int components) {
    text_add(out, ",\"at\":[");
    vector(out, at->a, components);
    text_add(out, ",");
    matrix(out, at->b, components, components);
    text_add(out, "]");
}

static void real_field(text *out, const char *key, double x) {
    text_add(out, ",\"%s\":", key);
    text_real(out, x);
}

static void source_list(const program *code, const row *r, text *out) {
    for (size_t j = 0; j < r->nsrc; j++)
        text_add(out, "%s%d", j ? "," : "", code->terms[r->src + j].v);
}

static void write_eval(const program *code, const row *r, text *out) {
    real_field(out, "t", r->t);
    real_field(out, "tau", r->tau);
    label(out, &r->at, code->components);
    text_add(out, ",\"gives\":[");
    vector(out, r->gives.cx, code->comp[r->dst]);
    text_add(out, ",");
    matrix(out, r->gives.cn, code->comp[r->dst], code->components);
    text_add(out, "]");
}

static void write_row(const program *code, const row *r, text *out) {
    text_add(out, "{\"op\":\"%s\"", plan_ops[r->op]);
    if (r->dst >= 0) text_add(out, ",\"dst\":%d", r->dst);
    const bool many = r->op == ROW_LIN || r->op == ROW_SELECT;
    if (r->nsrc) {
        text_add(out, ",\"src\":%s", many ? "[" : "");
        source_list(code, r, out);
        if (many) text_add(out, "]");
    }
    switch (r->op) {
    case ROW_EVAL: write_eval(code, r, out); break;
    case ROW_LIN:
        text_add(out, ",\"c\":[");
        for (size_t j = 0; j < r->nsrc; j++) {
            if (j) text_add(out, ",");
            coefficient(out, &code->terms[r->src + j].c);
        }
        text_add(out, "]");
        break;
    case ROW_NOISE: text_add(out, ",\"draw\":%u", r->draw); break;
    case ROW_STEP:
        real_field(out, "t", r->t);
        label(out, &r->at, code->components);
        if (r->order) text_add(out, ",\"order\":%d", r->order);
        break;
    case ROW_MIX: text_add(out, ",\"draw\":%u,\"kernel\":%d", r->draw, r->index); break;
    case ROW_CLIP:
        real_field(out, "lo", r->lo);
        real_field(out, "hi", r->hi);
        break;
    case ROW_LIMIT:
        real_field(out, "quantile", r->lo);
        real_field(out, "floor", r->hi);
        break;
    case ROW_GIVEN:
        text_add(out, ",\"name\":");
        json_add_text(out, code->names[r->index]);
        break;
    default: break;
    }
    text_add(out, "}");
}

static void add_word(text *out, const char *choices, int index) {
    for (; index > 0 && *choices; choices++) index -= *choices == '|';
    int length = 0;
    while (choices[length] && choices[length] != '|') length++;
    text_add(out, "\"%.*s\"", length, choices);
}

static void write_kernel(const mix_kernel *k, text *out) {
    text_add(out, "{\"pi\":");
    reals(out, k->pi, (size_t)k->K);
    text_add(out, ",\"offsets\":");
    add_word(out, plan_laws, (int)k->law);
    if (k->law == OFFSETS_DATA) {
        text_add(out, ",\"data\":");
        reals(out, k->data, k->ndata);
    } else
        text_add(out, ",\"table\":%u", k->table);
    real_field(out, "s", k->s);
    real_field(out, "sigma", k->sigma);
    text_add(out, ",\"covariance\":");
    add_word(out, plan_covariances, (int)k->covariance);
    text_add(out, "}");
}

static void meta_field(text *out, const char *key, const char *value, bool *any) {
    if (!value) return;
    text_add(out, "%s\"%s\":", *any ? "," : "", key);
    json_add_text(out, value);
    *any = true;
}

static void write_head(const dfl_plan *plan, text *out) {
    const program *code = &plan->code;
    text_add(out, "{\"format\":\"driftless-plan/1\",\"components\":%d,\n\"inputs\":[",
             code->components);
    for (size_t i = 0; i < code->ninputs; i++) {
        const plan_input *in = &code->inputs[i];
        text_add(out, "%s{\"id\":%d", i ? "," : "", in->id);
        real_field(out, "t", in->t);
        label(out, &in->at, code->components);
        text_add(out, ",\"scale\":");
        coefficient(out, &in->scale);
        text_add(out, "}");
    }
    text_add(out, "],\n\"outputs\":[");
    for (size_t i = 0; i < code->noutputs; i++)
        text_add(out, "%s%d", i ? "," : "", code->outputs[i]);
    text_add(out, "],\n\"kernels\":[");
    for (size_t i = 0; i < code->nkernels; i++) {
        text_add(out, i ? ",\n" : "");
        write_kernel(&code->kernels[i], out);
    }
}

void plan_write(const dfl_plan *plan, text *out) {
    write_head(plan, out);
    text_add(out, "],\n\"rows\":[\n");
    for (size_t i = 0; i < plan->code.nrows; i++) {
        if (i) text_add(out, ",\n");
        write_row(&plan->code, &plan->code.rows[i], out);
    }
    text_add(out,
             "],\n\"counts\":{\"rows\":%zu,\"values\":%zu,\"steps\":%zu,\"nfe\":%zu,\"draws\":%zu,"
             "\"picks\":%zu},\n\"meta\":{",
             plan->code.nrows, plan->code.nvalues, plan->steps, plan->nfe, plan->draws,
             plan->picks);
    bool any = false;
    plan_meta meta = plan->meta;
    for (int i = 0; i < PLAN_META; i++) {
        const char *key, *value = *plan_meta_at(&meta, i, &key);
        meta_field(out, key, value, &any);
    }
    text_add(out, "}}\n");
}
