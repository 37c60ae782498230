#include "eval/pairs.h"

#include <stdlib.h>

#include "base/dense.h"

/* Below this part of |x|^2 + |y|^2 a squared distance is computed by differences: what is left of
   the product would have lost six digits and more. */
#define CLOSE 1e-6

dfl_status pairs_new(size_t d, pairs *out) {
    const size_t side = PAIRS_SIDE;
    *out = (pairs){.d = d};
    out->left = mem_array(mem_product(side, d, 1), sizeof(double));
    out->right = mem_array(mem_product(side, d, 1), sizeof(double));
    out->norm_left = mem_array(side, sizeof(double));
    out->norm_right = mem_array(side, sizeof(double));
    out->value = mem_array(side * side, sizeof(double));
    if (out->left && out->right && out->norm_left && out->norm_right && out->value) return DFL_OK;
    pairs_free(out);
    return fail_memory();
}

void pairs_free(pairs *p) {
    free(p->left);
    free(p->right);
    free(p->norm_left);
    free(p->norm_right);
    free(p->value);
    *p = (pairs){0};
}

size_t pairs_work(size_t n) {
    return (n + PAIRS_SIDE - 1) / PAIRS_SIDE;
}

static size_t load(const row_set *r, size_t first, double *x, double *norm) {
    const size_t d = r->f->d, n = r->n - first < PAIRS_SIDE ? r->n - first : PAIRS_SIDE;
    for (size_t i = 0; i < n; i++) {
        const float *from = r->f->x + (r->index ? r->index[first + i] : first + i) * d;
        norm[i] = 0;
        for (size_t k = 0; k < d; k++) {
            const double v = from[k];
            x[i * d + k] = v;
            norm[i] += v * v;
        }
    }
    return n;
}

double pairs_direct(const pairs *p, size_t i, size_t j) {
    const double *x = p->left + i * p->d, *y = p->right + j * p->d;
    double sum = 0;
    for (size_t k = 0; k < p->d; k++) sum += (x[k] - y[k]) * (x[k] - y[k]);
    return sum;
}

static void distances(const pairs *p) {
    for (size_t i = 0; i < p->ni; i++)
        for (size_t j = 0; j < p->nj; j++) {
            double *const v = p->value + i * p->nj + j;
            const double both = p->norm_left[i] + p->norm_right[j];
            *v = both - 2 * *v;
            if (*v < CLOSE * both) *v = pairs_direct(p, i, j);
        }
}

dfl_status pairs_each(pairs *p, pairs_kind kind, const row_set *a, const row_set *b,
                      void (*visit)(void *user, const pairs *p), void *user) {
    const row_set *const right = b ? b : a;
    for (p->i = 0; p->i < a->n; p->i += p->ni) {
        TRY(metric_tick(p->watch, p->done++, p->total));
        p->ni = load(a, p->i, p->left, p->norm_left);
        const size_t end = b ? b->n : p->i + p->ni;
        for (p->j = 0; p->j < end; p->j += p->nj) {
            p->nj = load(right, p->j, p->right, p->norm_right);
            const dense_product product = {
                .m = p->ni, .n = p->nj, .k = p->d, .transpose_b = true, .alpha = 1};
            TRY(dense_multiply(&product, p->left, p->right, p->value));
            if (kind == PAIRS_DISTANCE) distances(p);
            visit(user, p);
        }
    }
    return DFL_OK;
}

void draw_subset(uint64_t seed, int kind, uint32_t draw, size_t size, size_t n, uint32_t *order) {
    for (size_t i = 0; i < size; i++) {
        const double u = noise_uniform(seed, kind, draw, i);
        const size_t other = i + (size_t)(u * (double)(n - i));
        const uint32_t swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
}

uint32_t *identity_order(size_t n) {
    uint32_t *const order = mem_array(n, sizeof *order);
    for (size_t i = 0; order && i < n; i++) order[i] = (uint32_t)i;
    return order;
}

dfl_status metric_tick(const metric_watch *watch, size_t done, size_t total) {
    return watch && watch->fn ? watch->fn(watch->user, done, total) : DFL_OK;
}
