/* Growing, comparing and freeing the arrays of a program. */
#include "solver/rows.h"

#include <stdlib.h>
#include <string.h>

void program_free(program *p) {
    for (size_t i = 0; i < p->nkernels; i++) {
        free(p->kernels[i].pi);
        free(p->kernels[i].data);
    }
    for (size_t i = 0; i < p->nnames; i++) free(p->names[i]);
    free(p->rows);
    free(p->terms);
    free(p->comp);
    free(p->inputs);
    free(p->outputs);
    free(p->kernels);
    free(p->names);
    memset(p, 0, sizeof *p);
}

/* Room for `more` entries behind the n that are there. */
#define GROW(array, n, cap, more)                                                                  \
    (mem_grow((void **)&(array), &(cap), (n) + (more), sizeof *(array)) ? DFL_OK : fail_memory())

dfl_status program_add_row(program *p, const row *r, const term *terms) {
    TRY(GROW(p->rows, p->nrows, p->rows_cap, 1));
    TRY(GROW(p->terms, p->nterms, p->terms_cap, r->nsrc));
    row *added = &p->rows[p->nrows++];
    *added = *r;
    added->src = p->nterms;
    if (r->nsrc) memcpy(p->terms + p->nterms, terms, r->nsrc * sizeof *terms);
    p->nterms += r->nsrc;
    return DFL_OK;
}

dfl_status program_add_value(program *p, int components, val *id) {
    TRY(GROW(p->comp, p->nvalues, p->comp_cap, 1));
    *id = (val)p->nvalues;
    p->comp[p->nvalues++] = (uint8_t)components;
    return DFL_OK;
}

dfl_status program_add_input(program *p, const plan_input *in) {
    TRY(GROW(p->inputs, p->ninputs, p->inputs_cap, 1));
    p->inputs[p->ninputs++] = *in;
    return DFL_OK;
}

dfl_status program_add_output(program *p, val v) {
    TRY(GROW(p->outputs, p->noutputs, p->outputs_cap, 1));
    p->outputs[p->noutputs++] = v;
    return DFL_OK;
}

dfl_status program_add_kernel(program *p, const mix_kernel *k) {
    const dfl_status status = GROW(p->kernels, p->nkernels, p->kernels_cap, 1);
    if (status == DFL_OK) {
        p->kernels[p->nkernels++] = *k;
        return DFL_OK;
    }
    free(k->pi);
    free(k->data);
    return status;
}

dfl_status program_add_name(program *p, const char *name) {
    TRY(GROW(p->names, p->nnames, p->names_cap, 1));
    char *copy = text_copy(name);
    if (!copy) return fail_memory();
    p->names[p->nnames++] = copy;
    return DFL_OK;
}

static void count_uses(const program *p, size_t *uses) {
    for (size_t i = 0; i < p->nrows; i++)
        for (size_t j = 0; j < p->rows[i].nsrc; j++) uses[p->terms[p->rows[i].src + j].v]++;
    for (size_t i = 0; i < p->noutputs; i++) uses[p->outputs[i]]++;
}

/* Marks rows to drop (dst becomes -1, which only STEP has otherwise); backwards, so that what a
   dropped row used may be dropped, too. */
static void mark_unused(program *p, size_t *uses) {
    for (size_t i = p->nrows; i-- > 0;) {
        row *r = &p->rows[i];
        if (r->op != ROW_LIN || uses[r->dst]) continue;
        for (size_t j = 0; j < r->nsrc; j++) uses[p->terms[r->src + j].v]--;
        r->dst = -1;
    }
}

dfl_status program_prune(program *p) {
    size_t *uses = mem_array(p->nvalues, sizeof *uses);
    val *renamed = mem_array(p->nvalues, sizeof *renamed);
    if (uses && renamed) {
        count_uses(p, uses);
        mark_unused(p, uses);
        size_t kept = 0, next = p->ninputs;
        for (size_t i = 0; i < p->ninputs; i++) renamed[i] = (val)i;
        for (size_t i = 0; i < p->nrows; i++) {
            row r = p->rows[i];
            if (r.op == ROW_LIN && r.dst < 0) continue;
            for (size_t j = 0; j < r.nsrc; j++)
                p->terms[r.src + j].v = renamed[p->terms[r.src + j].v];
            if (r.dst >= 0) {
                p->comp[next] = p->comp[r.dst];
                renamed[r.dst] = (val)next;
                r.dst = (val)next++;
            }
            p->rows[kept++] = r;
        }
        for (size_t i = 0; i < p->noutputs; i++) p->outputs[i] = renamed[p->outputs[i]];
        p->nrows = kept;
        p->nvalues = next;
    }
    const bool ok = uses && renamed;
    free(uses);
    free(renamed);
    return ok ? DFL_OK : fail_memory();
}

/* ---- equality -------------------------------------------------------------------------------- */

static bool same_numbers(const double *a, const double *b, size_t n) {
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

static bool same_block(const blk *a, const blk *b) {
    return a->m == b->m && a->n == b->n && same_numbers(a->v, b->v, a->m ? a->m * a->n : 1);
}

static bool same_label(const marginal *a, const marginal *b) {
    return same_numbers(a->a, b->a, 2) && same_numbers(a->b, b->b, 4);
}

static bool same_row(const program *p, const row *a, const program *q, const row *b) {
    const double numbers[] = {a->t, a->tau, a->lo, a->hi}, others[] = {b->t, b->tau, b->lo, b->hi};
    if (a->op != b->op || a->dst != b->dst || a->nsrc != b->nsrc || a->order != b->order ||
        a->draw != b->draw || a->index != b->index || !same_numbers(numbers, others, 4) ||
        !same_label(&a->at, &b->at) || !same_numbers(a->gives.cx, b->gives.cx, 2) ||
        !same_numbers(a->gives.cn, b->gives.cn, 4))
        return false;
    for (size_t j = 0; j < a->nsrc; j++) {
        const term *const x = &p->terms[a->src + j], *const y = &q->terms[b->src + j];
        if (x->v != y->v || (a->op == ROW_LIN && !same_block(&x->c, &y->c))) return false;
    }
    return true;
}

static bool same_input(const plan_input *a, const plan_input *b) {
    return a->id == b->id && same_numbers(&a->t, &b->t, 1) && same_label(&a->at, &b->at) &&
           same_block(&a->scale, &b->scale);
}

static bool same_kernel(const mix_kernel *a, const mix_kernel *b) {
    const double numbers[] = {a->s, a->sigma}, others[] = {b->s, b->sigma};
    return a->K == b->K && a->law == b->law && a->table == b->table && a->ndata == b->ndata &&
           a->covariance == b->covariance && same_numbers(numbers, others, 2) &&
           same_numbers(a->pi, b->pi, (size_t)a->K) && same_numbers(a->data, b->data, a->ndata);
}

bool program_equal(const program *p, const program *q) {
    bool same = p->components == q->components && p->nrows == q->nrows &&
                p->nvalues == q->nvalues && p->ninputs == q->ninputs &&
                p->noutputs == q->noutputs && p->nkernels == q->nkernels && p->nnames == q->nnames;
    for (size_t i = 0; same && i < p->nrows; i++) same = same_row(p, &p->rows[i], q, &q->rows[i]);
    for (size_t i = 0; same && i < p->ninputs; i++) same = same_input(&p->inputs[i], &q->inputs[i]);
    for (size_t i = 0; same && i < p->noutputs; i++) same = p->outputs[i] == q->outputs[i];
    for (size_t i = 0; same && i < p->nkernels; i++)
        same = same_kernel(&p->kernels[i], &q->kernels[i]);
    for (size_t i = 0; same && i < p->nnames; i++) same = strcmp(p->names[i], q->names[i]) == 0;
    return same;
}
