/* Mean and sum of squares about it, in double. A block's mean and sum are found in two passes, then
 * merged (T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
 * computing sample variances", 1979):
 *
 *   delta = mean_b - mean_a,  mean = mean_a + delta n_b/n,  M2 = M2_a + M2_b + delta delta' n_a n_b/n
 *
 * The last term is one more row of the block's product. */
#include "eval/moments.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"

/* ---- features -------------------------------------------------------------------------------- */

static dfl_status check_row(const float *x, size_t d, uint64_t row) {
    for (size_t j = 0; j < d; j++)
        if (!isfinite(x[j]))
            return fail(DFL_E_NONFINITE, "feature %zu of sample %llu is not finite", j,
                        (unsigned long long)row);
    return DFL_OK;
}

dfl_status features_check(const features *f, const char *what, size_t least) {
    if (f->d == 0 || f->d > INT_MAX)
        return fail(DFL_E_RANGE, "%s: %zu features a sample; 1 to %d are possible", what, f->d,
                    INT_MAX);
    if (f->n < least || f->n > INT_MAX)
        return fail(DFL_E_RANGE, "%s: %zu samples; %zu to %d are needed", what, f->n, least,
                    INT_MAX);
    for (size_t i = 0; i < f->n; i++) {
        const dfl_status status = check_row(f->x + i * f->d, f->d, i);
        if (status != DFL_OK) return fail_in(status, "%s", what);
    }
    return DFL_OK;
}

dfl_status features_check_widths(size_t a, size_t b) {
    if (a == b) return DFL_OK;
    return fail(DFL_E_COMBINATION, "%zu features a sample on one side and %zu on the other", a, b);
}

dfl_status features_check_pair(const features *a, const features *b, size_t least) {
    TRY(features_check_widths(a->d, b->d));
    TRY(features_check(a, "first set", least));
    return features_check(b, "second set", least);
}

/* ---- memory ---------------------------------------------------------------------------------- */

dfl_status moments_new(size_t d, moments *out) {
    *out = (moments){.d = d};
    if (d == 0 || d > INT_MAX)
        return fail(DFL_E_RANGE, "moments of %zu features: 1 to %d are possible", d, INT_MAX);
    out->mean = mem_array(d, sizeof *out->mean);
    out->m2 = mem_array(mem_product(d, d, 1), sizeof *out->m2);
    if (out->mean && out->m2) return DFL_OK;
    moments_free(out);
    return fail_memory();
}

void moments_free(moments *m) {
    free(m->mean);
    free(m->m2);
    *m = (moments){0};
}

void moments_clear(moments *m) {
    m->n = 0;
    memset(m->mean, 0, m->d * sizeof *m->mean);
    memset(m->m2, 0, m->d * m->d * sizeof *m->m2);
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* Rows of x in order, or those that index names. */
typedef struct {
    const float *x;
    const uint32_t *index;
    double *centred; /* [MOMENTS_BLOCK + 1][d] */
    double *mean;    /* [d] */
} intake;

static const float *row_of(const intake *in, size_t d, size_t i) {
    return in->x + (in->index ? in->index[i] : i) * d;
}

static dfl_status add_block(moments *m, const intake *in, size_t first, size_t rows) {
    const size_t d = m->d;
    const double before = (double)m->n, fresh = (double)rows, total = before + fresh;
    double *const mean = in->mean;
    memset(mean, 0, d * sizeof *mean);
    for (size_t i = 0; i < rows; i++) {
        const float *x = row_of(in, d, first + i);
        for (size_t j = 0; j < d; j++) mean[j] += x[j];
    }
    for (size_t j = 0; j < d; j++) mean[j] /= fresh;
    for (size_t i = 0; i < rows; i++) {
        const float *x = row_of(in, d, first + i);
        for (size_t j = 0; j < d; j++) in->centred[i * d + j] = x[j] - mean[j];
    }
    const double weight = sqrt(before / total * fresh);
    for (size_t j = 0; j < d; j++) in->centred[rows * d + j] = weight * (mean[j] - m->mean[j]);
    TRY(dense_gram(d, rows + 1, in->centred, m->m2));
    for (size_t j = 0; j < d; j++) m->mean[j] += (mean[j] - m->mean[j]) * (fresh / total);
    m->n += rows;
    return DFL_OK;
}

static dfl_status add_rows(moments *m, intake *in, size_t n) {
    const size_t d = m->d;
    if (n > UINT64_MAX / 2 - m->n) return fail(DFL_E_RANGE, "more samples than moments can count");
    in->mean = mem_array(d, sizeof *in->mean);
    in->centred = mem_array(mem_product(MOMENTS_BLOCK + 1, d, 1), sizeof *in->centred);
    dfl_status status = in->mean && in->centred ? DFL_OK : fail_memory();
    for (size_t done = 0; done < n && status == DFL_OK;) {
        const size_t room = MOMENTS_BLOCK - (size_t)(m->n % MOMENTS_BLOCK);
        const size_t rows = n - done < room ? n - done : room;
        status = add_block(m, in, done, rows);
        done += rows;
    }
    free(in->mean);
    free(in->centred);
    return status;
}

dfl_status moments_add(moments *m, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) TRY(check_row(x + i * m->d, m->d, m->n + i));
    intake in = {.x = x};
    return add_rows(m, &in, n);
}

dfl_status moments_add_index(moments *m, const features *f, const uint32_t *index, size_t n) {
    TRY(features_check_widths(m->d, f->d));
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= f->n)
            return fail(DFL_E_RANGE, "index %lu of %zu samples", (unsigned long)index[i], f->n);
        TRY(check_row(f->x + index[i] * f->d, f->d, index[i]));
    }
    intake in = {.x = f->x, .index = index};
    return add_rows(m, &in, n);
}

dfl_status moments_merge(moments *into, const moments *from) {
    TRY(features_check_widths(into->d, from->d));
    if (from->n > UINT64_MAX / 2 - into->n)
        return fail(DFL_E_RANGE, "more samples than moments can count");
    const size_t d = into->d;
    if (from->n == 0) return DFL_OK;
    if (into->n == 0) { /* the same bits, and no 0 times infinity */
        memcpy(into->mean, from->mean, d * sizeof *into->mean);
        memcpy(into->m2, from->m2, d * d * sizeof *into->m2);
        into->n = from->n;
        return DFL_OK;
    }
    const double before = (double)into->n, fresh = (double)from->n, total = before + fresh;
    const double weight = before / total * fresh;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            const double delta2 = (from->mean[i] - into->mean[i]) * (from->mean[j] - into->mean[j]);
            into->m2[i * d + j] += from->m2[i * d + j] + weight * delta2;
            into->m2[j * d + i] = into->m2[i * d + j];
        }
    for (size_t j = 0; j < d; j++)
        into->mean[j] += (from->mean[j] - into->mean[j]) * (fresh / total);
    into->n += from->n;
    return DFL_OK;
}

dfl_status moments_check(const moments *m) {
    const size_t d = m->d;
    if (d == 0 || d > INT_MAX)
        return fail(DFL_E_RANGE, "moments of %zu features: 1 to %d are possible", d, INT_MAX);
    for (size_t i = 0; i < d; i++) {
        if (!isfinite(m->mean[i]))
            return fail(DFL_E_NONFINITE, "mean of feature %zu is not finite", i);
        for (size_t j = 0; j <= i; j++) {
            if (!isfinite(m->m2[i * d + j]))
                return fail(DFL_E_NONFINITE, "m2 (%zu, %zu) is not finite", i, j);
            if (m->m2[i * d + j] != m->m2[j * d + i])
                return fail(DFL_E_FORMAT, "m2 is not symmetric at (%zu, %zu)", i, j);
        }
        if (m->m2[i * d + i] < 0) return fail(DFL_E_FORMAT, "m2 (%zu, %zu) is below zero", i, i);
    }
    return DFL_OK;
}
