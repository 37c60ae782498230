/* From losses and gains to curves, and from curves to a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/resample.h"
#include "eval/times.h"

enum { SEED = 0 }; /* of which images a replicate takes */

/* ---- totals ---------------------------------------------------------------------------------- */

/* Path of image i up to each time, by the trapezoid rule over every `stride`-th of them. */
static void fill_path(const times_study *s, size_t i, size_t stride, double *path) {
    const double *const l = s->loss + i * (s->m + 1);
    path[0] = 0;
    for (size_t j = stride; j < s->m; j += stride)
        path[j] =
            path[j - stride] + (l[j - stride] + l[j]) / 2 * (s->depth[j] - s->depth[j - stride]);
}

/* Totals [count][m] of one start, and the paths beside them. */
static void fill_totals(const times_study *s, size_t start, double *path, double *total) {
    for (size_t i = 0; i < s->count; i++) {
        fill_path(s, i, 1, path + i * s->m);
        for (size_t j = 0; j < s->m; j++)
            total[i * s->m + j] = path[i * s->m + j] + times_mismatch(s, start, j, i) +
                                  s->loss[i * (s->m + 1) + s->m];
    }
}

/* Mean of x[i step] - y[i step] over images; y NULL: 0. */
static times_mean mean_of(size_t n, size_t step, const double *x, const double *y) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += (x[i * step] - (y ? y[i * step] : 0)) / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double off = x[i * step] - (y ? y[i * step] : 0) - mean;
        square += off * off;
    }
    return (times_mean){mean, sqrt(square / (double)(n - 1) / (double)n)};
}

/* ---- the least ------------------------------------------------------------------------------- */

double times_vertex(const double x[3], const double y[3]) {
    const double left = (y[1] - y[0]) / (x[1] - x[0]), right = (y[2] - y[1]) / (x[2] - x[1]);
    const double bend = (right - left) / (x[2] - x[0]);
    if (!(bend > 0)) return x[1];
    const double at = (x[0] + x[1]) / 2 - left / (2 * bend);
    return at > x[0] && at < x[2] ? at : x[1];
}

static size_t least_of(const double *y, size_t m) {
    size_t at = 0;
    for (size_t j = 1; j < m; j++)
        if (y[j] < y[at]) at = j;
    return at;
}

/* The time where a curve of means y [m] is least. */
static double refined(const times_study *s, const double *y) {
    const size_t at = least_of(y, s->m);
    if (at == 0 || at + 1 == s->m) return s->t[at];
    const double u = times_vertex(s->depth + at - 1, y + at - 1);
    if (u == s->depth[at]) return s->t[at];
    return process_time_of_rho(s->net.process, exp(u));
}

static dfl_status replicate(const times_study *s, const double *total, size_t n, double *T) {
    uint32_t *const index = mem_array(s->count, sizeof *index);
    double *const sum = mem_array(s->m, sizeof *sum);
    const dfl_status status = index && sum ? DFL_OK : fail_memory();
    for (size_t b = 0; status == DFL_OK && b < n; b++) {
        resample(SEED, (uint32_t)b, s->count, index);
        memset(sum, 0, s->m * sizeof *sum);
        for (size_t i = 0; i < s->count; i++)
            for (size_t j = 0; j < s->m; j++) sum[j] += total[index[i] * s->m + j];
        T[b] = refined(s, sum);
    }
    free(index);
    free(sum);
    return status;
}

static dfl_status find_spread(const times_study *s, const double *total, size_t n,
                              times_curve *out) {
    out->error = out->low = out->high = NAN;
    if (n < 2) return DFL_OK;
    double *const T = mem_array(n, sizeof *T);
    dfl_status status = T ? replicate(s, total, n, T) : fail_memory();
    if (status == DFL_OK) {
        double mean = 0;
        for (size_t b = 0; b < n; b++) mean += T[b] / (double)n;
        const spread found = spread_of(mean, T, n); /* not moved: T stays on the grid */
        out->error = found.error;
        out->low = found.low;
        out->high = found.high;
    }
    free(T);
    return status;
}

/* ---- a curve --------------------------------------------------------------------------------- */

static dfl_status fill_points(const times_study *s, size_t start, const double *path,
                              const double *total, times_curve *out) {
    const size_t n = s->count, m = s->m;
    double *const y = mem_array(m, sizeof *y), *const off = mem_array(n, sizeof *off);
    const dfl_status status = y && off ? DFL_OK : fail_memory();
    for (size_t j = 0; status == DFL_OK && j < m; j++) {
        times_point *const p = &out->point[j];
        for (size_t i = 0; i < n; i++) off[i] = times_mismatch(s, start, j, i);
        p->path = mean_of(n, m, path + j, NULL);
        p->mismatch = mean_of(n, 1, off, NULL);
        p->total = mean_of(n, m, total + j, NULL);
        y[j] = p->total.mean;
    }
    if (status == DFL_OK) {
        out->least = least_of(y, m);
        out->T = refined(s, y);
        for (size_t j = 0; j < m; j++)
            out->point[j].above = mean_of(n, m, total + j, total + out->least);
    }
    free(y);
    free(off);
    return status;
}

static void choose(const times_study *s, const double *total, times_curve *out) {
    const size_t m = s->m, n = s->count;
    const times_point *const p = out->point;
    size_t first = out->least, last = out->least;
    while (first > 0 && p[first - 1].above.mean <= p[first - 1].above.error) first--;
    while (last + 1 < m && p[last + 1].above.mean <= p[last + 1].above.error) last++;
    out->within[0] = out->chosen = first;
    out->within[1] = last;
    out->edge = out->least == 0       ? TIMES_AT_FIRST
                : out->least == m - 1 ? TIMES_AT_LAST
                                      : TIMES_INSIDE;
    out->gain = mean_of(n, m, total + m - 1, total + first);
    out->flat = p[m - 1].above.mean <= 2 * p[m - 1].above.error;
}

static dfl_status make_curve(const times_study *s, size_t start, size_t replicates,
                             double *const room[3], times_curve *out) {
    double *const path = room[0], *const total = room[1], *const plain = room[2];
    out->point = mem_array(s->m, sizeof *out->point);
    if (!out->point) return fail_memory();
    fill_totals(s, start, path, total);
    TRY(fill_points(s, start, path, total, out));
    choose(s, total, out);
    for (size_t i = 0; i < s->count && start == 0; i++) plain[i] = total[i * s->m + out->least];
    double *const own = path; /* no longer needed */
    for (size_t i = 0; i < s->count; i++) own[i] = total[i * s->m + out->chosen];
    out->over_plain = mean_of(s->count, 1, plain, own);
    return find_spread(s, total, replicates, out);
}

/* What halving the number of times does to the integral. */
static void compare_coarse(const times_study *s, double *const room[3], times_mean *out) {
    const size_t last = (s->m - 1) / 2 * 2;
    for (size_t i = 0; i < s->count; i++) {
        fill_path(s, i, 1, room[0]);
        room[2][i] = -room[0][last];
        fill_path(s, i, 2, room[0]);
        room[2][i] += room[0][last];
    }
    *out = mean_of(s->count, 1, room[2], NULL);
}

dfl_status times_choose(const times_study *s, size_t replicates, times_choice *out) {
    const size_t all = mem_product(s->count, s->m, 1);
    *out = (times_choice){.nstarts = 1 + s->npriors, .m = s->m};
    double *const room[3] = {mem_array(all, sizeof(double)), mem_array(all, sizeof(double)),
                             mem_array(s->count, sizeof(double))};
    out->curve = mem_array(out->nstarts, sizeof *out->curve);
    dfl_status status = room[0] && room[1] && room[2] && out->curve ? DFL_OK : fail_memory();
    for (size_t k = 0; status == DFL_OK && k < out->nstarts; k++)
        status = make_curve(s, k, replicates, room, &out->curve[k]);
    if (status == DFL_OK) {
        out->decoder = mean_of(s->count, s->m + 1, s->loss + s->m, NULL);
        compare_coarse(s, room, &out->coarse);
    }
    for (int i = 0; i < 3; i++) free(room[i]);
    if (status != DFL_OK) times_choice_free(out);
    return status;
}

void times_choice_free(times_choice *c) {
    for (size_t k = 0; k < c->nstarts && c->curve; k++) free(c->curve[k].point);
    free(c->curve);
    *c = (times_choice){0};
}
