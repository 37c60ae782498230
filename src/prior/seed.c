/* Where a fit starts: k-means++ (Arthur and Vassilvitskii 2007) and Lloyd's passes, in the leading
   principal coordinates where there are many. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prior/em.h"

enum { COORDINATES = 64, SAMPLE = 1 << 15, PASSES = 20, UNIFORM_KIND = 6 };

dfl_status seed_space_new(const rows *data, seed_space *out) {
    *out = (seed_space){.q = data->d};
    if (data->d <= COORDINATES) return DFL_OK;
    out->q = COORDINATES;
    out->mean = mem_array(data->d, sizeof(double));
    out->vectors = mem_array(mem_product(COORDINATES, data->d, 1), sizeof(double));
    if (!out->mean || !out->vectors) return fail_memory();
    return rows_leading(data, COORDINATES, out->mean, out->vectors);
}

void seed_space_free(seed_space *s) {
    free(s->mean);
    free(s->vectors);
    *s = (seed_space){0};
}

/* Row i's coordinates; x [d] is scratch. */
static dfl_status locate(const rows *data, const seed_space *s, size_t i, double *x, double *c) {
    if (!s->vectors) return data->get(data, i, c);
    TRY(data->get(data, i, x));
    for (size_t e = 0; e < data->d; e++) x[e] -= s->mean[e];
    for (size_t j = 0; j < s->q; j++) {
        double sum = 0;
        for (size_t e = 0; e < data->d; e++) sum += s->vectors[j * data->d + e] * x[e];
        c[j] = sum;
    }
    return DFL_OK;
}

static double distance(size_t q, const double *a, const double *b) {
    double sum = 0;
    for (size_t j = 0; j < q; j++) sum += (a[j] - b[j]) * (a[j] - b[j]);
    return sum;
}

static size_t inverse_cumulative(size_t n, const double *weight, double u) {
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) total += weight[i];
    for (size_t i = 0; i < n; i++) {
        sum += weight[i];
        if (u * total < sum) return i;
    }
    return n - 1;
}

dfl_status seed_plus_plus(size_t n, size_t q, const double *c, size_t k, const double *uniform,
                          size_t *index) {
    double *const nearest = mem_array(n, sizeof *nearest);
    if (!nearest) return fail_memory();
    for (size_t i = 0; i < n; i++) nearest[i] = HUGE_VAL;
    index[0] = (size_t)(uniform[0] * (double)n);
    for (size_t j = 1; j < k; j++) {
        for (size_t i = 0; i < n; i++) {
            const double away = distance(q, c + i * q, c + index[j - 1] * q);
            if (away < nearest[i]) nearest[i] = away;
        }
        index[j] = inverse_cumulative(n, nearest, uniform[j]);
    }
    free(nearest);
    return DFL_OK;
}

/* ---- Lloyd ----------------------------------------------------------------------------------- */

typedef struct {
    size_t n, q, k;
    double *c, *centre, *away; /* [n][q], [k][q], [n]: distance to the row's own centre */
    size_t *count;
    uint32_t *label;
} lloyd;

static uint32_t closest(const lloyd *l, const double *c, double *away) {
    uint32_t best = 0;
    *away = HUGE_VAL;
    for (size_t j = 0; j < l->k; j++) {
        const double here = distance(l->q, c, l->centre + j * l->q);
        if (here < *away) {
            *away = here;
            best = (uint32_t)j;
        }
    }
    return best;
}

static void fill_empty(lloyd *l, size_t j) {
    size_t far = 0;
    for (size_t i = 1; i < l->n; i++)
        if (l->away[i] > l->away[far]) far = i;
    memcpy(l->centre + j * l->q, l->c + far * l->q, l->q * sizeof(double));
    l->away[far] = 0;
}

static size_t lloyd_pass(lloyd *l) {
    size_t moved = 0;
    for (size_t i = 0; i < l->n; i++) {
        const uint32_t was = l->label[i];
        l->label[i] = closest(l, l->c + i * l->q, &l->away[i]);
        moved += l->label[i] != was;
    }
    memset(l->count, 0, l->k * sizeof *l->count);
    memset(l->centre, 0, l->k * l->q * sizeof *l->centre);
    for (size_t i = 0; i < l->n; i++) {
        const size_t j = l->label[i];
        l->count[j]++;
        for (size_t e = 0; e < l->q; e++) l->centre[j * l->q + e] += l->c[i * l->q + e];
    }
    for (size_t j = 0; j < l->k; j++) {
        if (l->count[j] == 0)
            fill_empty(l, j);
        else
            for (size_t e = 0; e < l->q; e++) l->centre[j * l->q + e] /= (double)l->count[j];
    }
    return moved;
}

static dfl_status lloyd_run(lloyd *l, uint64_t seed, uint32_t restart) {
    double *const uniform = mem_array(l->k, sizeof *uniform);
    size_t *const index = mem_array(l->k, sizeof *index);
    dfl_status status = uniform && index ? DFL_OK : fail_memory();
    for (size_t j = 0; j < l->k && status == DFL_OK; j++)
        uniform[j] = noise_uniform(seed, UNIFORM_KIND, restart, j);
    if (status == DFL_OK) status = seed_plus_plus(l->n, l->q, l->c, l->k, uniform, index);
    for (size_t j = 0; j < l->k && status == DFL_OK; j++)
        memcpy(l->centre + j * l->q, l->c + index[j] * l->q, l->q * sizeof(double));
    for (int i = 0; i < PASSES && status == DFL_OK; i++)
        if (lloyd_pass(l) == 0 && i > 0) break;
    free(uniform);
    free(index);
    return status;
}

static dfl_status label_all(const rows *data, const seed_space *space, const lloyd *l, double *x,
                            uint32_t *labels) {
    double away;
    for (size_t i = 0; i < data->n; i++) {
        TRY(locate(data, space, i, x, x + data->d));
        labels[i] = closest(l, x + data->d, &away);
    }
    return DFL_OK;
}

dfl_status seed_labels(const rows *data, const seed_space *space, size_t k, uint64_t seed,
                       uint32_t restart, uint32_t *labels) {
    lloyd l = {.n = data->n < SAMPLE ? data->n : SAMPLE, .q = space->q, .k = k};
    l.c = mem_array(mem_product(l.n, l.q, 1), sizeof(double));
    l.centre = mem_array(mem_product(k, l.q, 1), sizeof(double));
    l.away = mem_array(l.n, sizeof(double));
    l.count = mem_array(k, sizeof *l.count);
    l.label = mem_array(l.n, sizeof *l.label);
    double *const x = mem_array(data->d + space->q, sizeof *x);
    const bool good = l.c && l.centre && l.away && l.count && l.label && x;
    dfl_status status = good ? DFL_OK : fail_memory();
    for (size_t i = 0; i < l.n && status == DFL_OK; i++) {
        const size_t row = (size_t)((double)i * ((double)data->n / (double)l.n));
        status = locate(data, space, row, x, l.c + i * l.q);
    }
    if (status == DFL_OK) status = lloyd_run(&l, seed, restart);
    if (status == DFL_OK) status = label_all(data, space, &l, x, labels);
    free(l.c);
    free(l.centre);
    free(l.away);
    free(l.count);
    free(l.label);
    free(x);
    return status;
}
