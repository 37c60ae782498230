/* A plan as a table for people: a line per step, and under it every combination that made it. */
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* %g with a point whatever the locale, padded on the left. */
static void number(text *out, double x, int width, int digits) {
    char buffer[40], shape[16];
    snprintf(shape, sizeof shape, "%%%d.%dg", width, digits);
    snprintf(buffer, sizeof buffer, shape, x);
    for (char *c = buffer; *c; c++)
        if (*c == ',') *c = '.';
    text_add(out, "%s", buffer);
}

static void print_blk(text *out, const blk *c) {
    if (c->m == 0) {
        number(out, c->v[0], 0, 7);
        return;
    }
    text_add(out, "[");
    for (int i = 0; i < c->m; i++)
        for (int j = 0; j < c->n; j++) {
            if (i + j) text_add(out, j ? " " : "; ");
            number(out, c->v[i * c->n + j], 0, 7);
        }
    text_add(out, "]");
}

static void add_term(const program *code, const row *r, size_t j, text *out) {
    const term *const s = &code->terms[r->src + j];
    if (r->op == ROW_LIN) {
        print_blk(out, &s->c);
        text_add(out, " ");
    }
    text_add(out, "v%d", s->v);
}

/* Terms that would pass the 80th column stand in a line below. */
static void add_terms(const program *code, const row *r, size_t start, text *out) {
    enum { WIDTH = 80, INDENT = 12 };
    for (size_t j = 0; j < r->nsrc; j++) {
        text one = {0};
        if (j) text_add(&one, r->op == ROW_LIN ? " + " : ", ");
        add_term(code, r, j, &one);
        if (j && out->len - start + one.len > WIDTH) {
            start = out->len + 1;
            text_add(out, "\n%*s", INDENT - 1, "");
        }
        if (one.failed)
            out->failed = true;
        else
            text_add(out, "%s", one.data);
        text_free(&one);
    }
}

static void print_row(const program *code, const row *r, text *out) {
    const size_t start = out->len;
    text_add(out, "        v%d = ", r->dst);
    if (r->op != ROW_LIN) text_add(out, "%s ", plan_ops[r->op]);
    add_terms(code, r, start, out);
    if (r->op == ROW_EVAL) {
        text_add(out, " at t = ");
        number(out, r->t, 0, 8);
        text_add(out, ", network time ");
        number(out, r->tau, 0, 8);
    }
    if (r->op == ROW_NOISE || r->op == ROW_MIX) text_add(out, " draw %u", r->draw);
    text_add(out, "\n");
}

static double lambda_of(const program *code, const marginal *at) {
    return code->components == 1 ? log(at->a[0] / at->b[0]) : NAN;
}

static void print_time(const program *code, double t, const marginal *at, text *out) {
    text_add(out, "  ");
    number(out, t, 12, 8);
    text_add(out, "  ");
    const double lambda = lambda_of(code, at);
    if (isnan(lambda))
        text_add(out, "%10s", "-");
    else
        number(out, lambda, 10, 6);
}

static void print_meta(const plan_meta *m, text *out) {
    const struct {
        const char *key, *value;
    } lines[] = {{"solver   ", m->solver},  {"grid     ", m->grid}, {"process  ", m->process},
                 {"teacher  ", m->teacher}, {"fit      ", m->fit},  {"held out ", m->held_out}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (!lines[i].value) continue;
        text_add(out, "%s", lines[i].key);
        text_add_line(out, lines[i].value);
        text_add(out, "\n");
    }
}

void plan_print(const dfl_plan *plan, text *out) {
    const program *code = &plan->code;
    print_meta(&plan->meta, out);
    text_add(out, "%zu steps, %zu network evaluations, %zu draws of noise, %zu slots\n\n",
             plan->steps, plan->nfe, plan->draws + plan->picks, plan->nslots);
    text_add(out, "  step             t      lambda  order  evaluations\n     0");
    print_time(code, code->inputs[0].t, &code->inputs[0].at, out);
    text_add(out, "\n");
    size_t begin = 0, step = 0;
    for (size_t i = 0; i < code->nrows; i++) {
        const row *r = &code->rows[i];
        if (r->op != ROW_STEP) continue;
        size_t evaluations = 0;
        for (size_t k = begin; k < i; k++) evaluations += code->rows[k].op == ROW_EVAL;
        text_add(out, "%6zu", ++step);
        print_time(code, r->t, &r->at, out);
        text_add(out, "  %5d  %11zu\n", r->order, evaluations);
        for (size_t k = begin; k < i; k++) print_row(code, &code->rows[k], out);
        begin = i + 1;
    }
    for (size_t k = begin; k < code->nrows; k++) print_row(code, &code->rows[k], out);
    if (plan->warnings.len) {
        text_add(out, "\n");
        text_wrap(out, plan->warnings.data, 0, 0);
    }
}
