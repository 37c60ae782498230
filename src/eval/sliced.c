/* The sliced Wasserstein distance (N. Bonneel, J. Rabin, G. Peyre, H. Pfister, J. Mathematical
 * Imaging and Vision 51, 2015):
 *
 *   SW^2 = mean over unit directions of W_2^2 of the two sets projected on the direction,
 *   W_2^2 = integral over q from 0 to 1 of (quantile_a(q) - quantile_b(q))^2
 *
 * Quantile functions of samples are steps; with m and n samples both are constant between multiples
 * of 1/m and 1/n, so the integral is a sum over the merged steps, counted in units of 1/(m n). */
#include <math.h>
#include <stdlib.h>

#include "base/dense.h"
#include "eval/pairs.h"

enum { AT_ONCE = 16, ROWS = 256 }; /* directions, and rows projected on them */

typedef struct {
    size_t d;
    double *direction; /* [AT_ONCE][d] */
    double *rows;      /* [ROWS][d] */
    double *onto;      /* [ROWS][AT_ONCE] */
    double *a, *b;     /* [AT_ONCE][n] projections */
} slices;

static void draw_direction(uint64_t seed, size_t number, size_t d, double *direction) {
    double norm = 0;
    noise_normals(seed, METRIC_DRAW_DIRECTION, 0, number, 0, d, direction);
    for (size_t k = 0; k < d; k++) norm += direction[k] * direction[k];
    if (norm == 0) direction[0] = norm = 1; /* one number in 2^52 is 0 */
    for (size_t k = 0; k < d; k++) direction[k] /= sqrt(norm);
}

/* out [count][n] */
static dfl_status project(const slices *s, const features *f, size_t count, double *out) {
    const size_t d = f->d;
    for (size_t first = 0; first < f->n; first += ROWS) {
        const size_t rows = f->n - first < ROWS ? f->n - first : ROWS;
        for (size_t i = 0; i < rows * d; i++) s->rows[i] = f->x[first * d + i];
        const dense_product p = {.m = rows, .n = count, .k = d, .transpose_b = true, .alpha = 1};
        TRY(dense_multiply(&p, s->rows, s->direction, s->onto));
        for (size_t i = 0; i < rows; i++)
            for (size_t l = 0; l < count; l++) out[l * f->n + first + i] = s->onto[i * count + l];
    }
    return DFL_OK;
}

/* Of sorted a [m] and b [n]. */
static double wasserstein2(const double *a, size_t m, const double *b, size_t n) {
    uint64_t at = 0; /* of m n */
    double sum = 0;
    for (size_t i = 0, j = 0; i < m && j < n;) {
        const uint64_t end_a = (uint64_t)(i + 1) * n, end_b = (uint64_t)(j + 1) * m;
        const uint64_t end = end_a < end_b ? end_a : end_b;
        sum += (double)(end - at) * (a[i] - b[j]) * (a[i] - b[j]);
        at = end;
        i += end == end_a;
        j += end == end_b;
    }
    return sum / ((double)m * (double)n);
}

static dfl_status slices_new(size_t d, size_t m, size_t n, slices *out) {
    *out = (slices){.d = d};
    out->direction = mem_array(mem_product(AT_ONCE, d, 1), sizeof(double));
    out->rows = mem_array(mem_product(ROWS, d, 1), sizeof(double));
    out->onto = mem_array(ROWS * AT_ONCE, sizeof(double));
    out->a = mem_array(mem_product(AT_ONCE, m, 1), sizeof(double));
    out->b = mem_array(mem_product(AT_ONCE, n, 1), sizeof(double));
    return out->direction && out->rows && out->onto && out->a && out->b ? DFL_OK : fail_memory();
}

static void slices_free(slices *s) {
    free(s->direction);
    free(s->rows);
    free(s->onto);
    free(s->a);
    free(s->b);
}

/* Squared distances along `count` directions into found. */
static dfl_status slice(slices *s, const features *a, const features *b, size_t count,
                        double *found) {
    TRY(project(s, a, count, s->a));
    TRY(project(s, b, count, s->b));
    for (size_t l = 0; l < count; l++) {
        sort_reals(s->a + l * a->n, a->n);
        sort_reals(s->b + l * b->n, b->n);
        found[l] = wasserstein2(s->a + l * a->n, a->n, s->b + l * b->n, b->n);
    }
    return DFL_OK;
}

/* Mean and its standard error, of squares, to those of the root. */
static dfl_status summarise(const double *found, size_t n, sliced_result *out) {
    double sum = 0, squares = 0;
    for (size_t l = 0; l < n; l++) sum += found[l];
    const double mean = sum / (double)n;
    for (size_t l = 0; l < n; l++) squares += (found[l] - mean) * (found[l] - mean);
    out->distance = sqrt(mean);
    if (n > 1 && mean > 0)
        out->error = sqrt(squares / (double)(n - 1) / (double)n) / (2 * out->distance);
    if (isfinite(out->distance) && isfinite(out->error)) return DFL_OK;
    return fail(DFL_E_NONFINITE, "the sliced Wasserstein distance is too large for a number");
}

dfl_status sliced_wasserstein(const features *a, const features *b, const sliced_options *o,
                              const metric_watch *watch, sliced_result *out) {
    const size_t total = o->directions ? o->directions : SLICED_DIRECTIONS;
    *out = (sliced_result){0};
    if (total > 1000000)
        return fail(DFL_E_RANGE, "%zu directions; at most 1000000 are allowed", total);
    TRY(features_check_pair(a, b, 1));
    slices s;
    double *const found = mem_array(total, sizeof *found);
    dfl_status status = slices_new(a->d, a->n, b->n, &s);
    if (!found) status = fail_memory();
    for (size_t done = 0; done < total && status == DFL_OK; done += AT_ONCE) {
        const size_t count = total - done < AT_ONCE ? total - done : AT_ONCE;
        status = metric_tick(watch, done, total);
        for (size_t l = 0; l < count; l++)
            draw_direction(o->seed, done + l, a->d, s.direction + l * a->d);
        if (status == DFL_OK) status = slice(&s, a, b, count, found + done);
    }
    if (status == DFL_OK) status = summarise(found, total, out);
    slices_free(&s);
    free(found);
    return status;
}
