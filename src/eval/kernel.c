/* Maximum mean discrepancy, unbiased, with samples x_1 .. x_m and y_1 .. y_n (A. Gretton et al.,
 * "A kernel two-sample test", JMLR 13, 2012, lemma 6):
 *
 *   sum_{i != j} k(x_i, x_j)/(m (m-1)) + sum_{i != j} k(y_i, y_j)/(n (n-1)) - 2 sum k(x_i, y_j)/(m n)
 *
 * Its variance, to first order in 1/m and 1/n (Hoeffding), is 4 var f/m + 4 var g/n with
 *
 *   f_i = sum_{j != i} k(x_i, x_j)/(m-1) - sum_j k(x_i, y_j)/n,  g_j likewise.
 *
 * These sums over rows are noisy themselves, by the second order: where both sets are of one law
 * the error comes out sqrt 2 too large. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "eval/pairs.h"

/* ---- sums of a kernel ------------------------------------------------------------------------ */

typedef struct {
    double cube;  /* not 0: (x'y cube + 1)^3 */
    double gauss; /* else exp(-|x - y|^2 gauss) */
} kernel;

typedef struct {
    kernel k;
    bool within;          /* pairs of a set with itself: the diagonal is left out */
    double *left, *right; /* sums over the other's rows, for each row */
} kernel_sums;

static double kernel_value(const kernel *k, double v) {
    if (k->cube == 0) return exp(-v * k->gauss);
    const double base = v * k->cube + 1;
    return base * base * base;
}

static void add_tile(void *user, const pairs *p) {
    kernel_sums *const s = user;
    const bool diagonal = s->within && p->i == p->j, both = !diagonal;
    for (size_t i = 0; i < p->ni; i++)
        for (size_t j = 0; j < p->nj; j++) {
            if (diagonal && i == j) continue;
            const double v = kernel_value(&s->k, p->value[i * p->nj + j]);
            s->left[p->i + i] += v;
            if (both) s->right[p->j + j] += v;
        }
}

typedef struct {
    pairs p;
    kernel k;
    double *f, *g;   /* [m], [n] sums within */
    double *fg, *gf; /* [m], [n] sums across */
} discrepancy;

typedef struct {
    double squared, variance;
} estimate;

static dfl_status discrepancy_new(size_t d, size_t m, size_t n, discrepancy *out) {
    *out = (discrepancy){0};
    TRY(pairs_new(d, &out->p));
    out->f = mem_array(m, sizeof(double));
    out->fg = mem_array(m, sizeof(double));
    out->g = mem_array(n, sizeof(double));
    out->gf = mem_array(n, sizeof(double));
    return out->f && out->fg && out->g && out->gf ? DFL_OK : fail_memory();
}

static void discrepancy_free(discrepancy *d) {
    pairs_free(&d->p);
    free(d->f);
    free(d->fg);
    free(d->g);
    free(d->gf);
}

static double sum_of(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* Variance of a mean of within/(n - 1) - across/other, a row each. */
static double row_variance(const double *within, const double *across, size_t n, size_t other) {
    const double size = (double)n;
    const double mean = (sum_of(within, n) / (size - 1) - sum_of(across, n) / (double)other) / size;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double off = within[i] / (size - 1) - across[i] / (double)other - mean;
        sum += off * off;
    }
    return sum / (size - 1) / size;
}

static dfl_status discrepancy_find(discrepancy *d, const row_set *a, const row_set *b,
                                   estimate *out) {
    const pairs_kind kind = d->k.cube == 0 ? PAIRS_DISTANCE : PAIRS_PRODUCT;
    const size_t m = a->n, n = b->n;
    for (size_t i = 0; i < m; i++) d->f[i] = d->fg[i] = 0;
    for (size_t i = 0; i < n; i++) d->g[i] = d->gf[i] = 0;
    kernel_sums aa = {d->k, true, d->f, d->f}, bb = {d->k, true, d->g, d->g};
    kernel_sums ab = {d->k, false, d->fg, d->gf};
    TRY(pairs_each(&d->p, kind, a, NULL, add_tile, &aa));
    TRY(pairs_each(&d->p, kind, b, NULL, add_tile, &bb));
    TRY(pairs_each(&d->p, kind, a, b, add_tile, &ab));
    const double dm = (double)m, dn = (double)n;
    out->squared = sum_of(d->f, m) / (dm * (dm - 1)) + sum_of(d->g, n) / (dn * (dn - 1)) -
                   2 * sum_of(d->fg, m) / (dm * dn);
    out->variance = 4 * row_variance(d->f, d->fg, m, n) + 4 * row_variance(d->g, d->gf, n, m);
    if (!isfinite(out->squared) || !isfinite(out->variance))
        return fail(DFL_E_NONFINITE, "sums of the kernel are too large for a number");
    return DFL_OK;
}

/* ---- KID ------------------------------------------------------------------------------------- */

static dfl_status kid_size(const features *a, const features *b, const kid_options *o,
                           kid_result *r) {
    const size_t fewer = a->n < b->n ? a->n : b->n;
    r->subsets = o->subsets ? o->subsets : KID_SUBSETS;
    r->subset_size = o->subset_size ? o->subset_size : KID_SUBSET_SIZE;
    if (!o->subset_size && r->subset_size > fewer) r->subset_size = fewer;
    if (r->subset_size < 2 || r->subset_size > fewer)
        return fail(DFL_E_RANGE, "KID: subsets of %zu; 2 to %zu samples are there", r->subset_size,
                    fewer);
    if (r->subsets > 1000000)
        return fail(DFL_E_RANGE, "KID: %zu subsets; at most 1000000 are allowed", r->subsets);
    if (r->subset_size == a->n && r->subset_size == b->n) r->subsets = 1; /* all are the same */
    return DFL_OK;
}

/* The subsets' estimates, one after the other, into found [subsets]; *first is of the first. */
static dfl_status kid_subsets(const features *a, const features *b, uint64_t seed,
                              const metric_watch *watch, const kid_result *r, double *found,
                              estimate *first) {
    const size_t size = r->subset_size;
    discrepancy d = {0};
    uint32_t *const of_a = identity_order(a->n), *const of_b = identity_order(b->n);
    dfl_status status = of_a && of_b ? discrepancy_new(a->d, size, size, &d) : fail_memory();
    d.k.cube = 1 / (double)a->d;
    for (size_t s = 0; s < r->subsets && status == DFL_OK; s++) {
        estimate e = {0};
        TRY_GOTO(metric_tick(watch, s, r->subsets), done);
        draw_subset(seed, METRIC_DRAW_SUBSET, (uint32_t)(2 * s), size, a->n, of_a);
        draw_subset(seed, METRIC_DRAW_SUBSET, (uint32_t)(2 * s + 1), size, b->n, of_b);
        const row_set rows_a = {a, of_a, size}, rows_b = {b, of_b, size};
        TRY_GOTO(discrepancy_find(&d, &rows_a, &rows_b, &e), done);
        found[s] = e.squared;
        if (s == 0) *first = e;
    }
done:
    discrepancy_free(&d);
    free(of_a);
    free(of_b);
    return status;
}

/* Only n/size of the subsets are disjoint, and they are drawn without replacement. Where even two
   would overlap, the first one's own error is taken. */
static double kid_error(const kid_result *r, size_t fewer, const estimate *first) {
    const double part = (double)r->subset_size / (double)fewer;
    if (part > 0.5) return sqrt(first->variance);
    return r->std / sqrt((1 - part) * fmin(1 / part, (double)r->subsets));
}

dfl_status kid(const features *a, const features *b, const kid_options *o,
               const metric_watch *watch, kid_result *out) {
    estimate first = {0};
    *out = (kid_result){0};
    TRY(features_check_pair(a, b, 2));
    TRY(kid_size(a, b, o, out));
    double *const found = mem_array(out->subsets, sizeof *found);
    if (!found) return fail_memory();
    const dfl_status status = kid_subsets(a, b, o->seed, watch, out, found, &first);
    if (status == DFL_OK) {
        const double n = (double)out->subsets;
        double sum = 0;
        out->mean = sum_of(found, out->subsets) / n;
        for (size_t s = 0; s < out->subsets; s++)
            sum += (found[s] - out->mean) * (found[s] - out->mean);
        out->std = sqrt(sum / n);
        out->subset_error = out->std / sqrt(n);
        out->error = kid_error(out, a->n < b->n ? a->n : b->n, &first);
    }
    free(found);
    return status;
}

/* ---- Gaussian kernel ------------------------------------------------------------------------- */

typedef struct {
    double *value; /* distances so far */
    size_t n;
} gathered;

static void gather_tile(void *user, const pairs *p) {
    gathered *const g = user;
    for (size_t i = 0; i < p->ni; i++)
        for (size_t j = 0; j < p->nj; j++)
            if (p->i + i > p->j + j) g->value[g->n++] = p->value[i * p->nj + j];
}

/* Draws up to MMD_MEDIAN rows of f into x; returns how many. */
static size_t draw_rows(const features *f, uint64_t seed, uint32_t side, uint32_t *order,
                        float *x) {
    const size_t n = f->n < MMD_MEDIAN ? f->n : MMD_MEDIAN;
    draw_subset(seed, METRIC_DRAW_MEDIAN, side, n, f->n, order);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < f->d; k++) x[i * f->d + k] = f->x[order[i] * f->d + k];
    return n;
}

/* The median distance between all rows drawn, of either set. */
static dfl_status find_bandwidth(const features *a, const features *b, uint64_t seed,
                                 double *bandwidth) {
    pairs p = {0};
    const size_t most = 2 * MMD_MEDIAN;
    uint32_t *const of_a = identity_order(a->n), *const of_b = identity_order(b->n);
    float *const x = mem_array(mem_product(most, a->d, 1), sizeof *x);
    gathered g = {.value = mem_array(most * (most - 1) / 2, sizeof *g.value)};
    dfl_status status = of_a && of_b && x && g.value ? pairs_new(a->d, &p) : fail_memory();
    if (status == DFL_OK) {
        features both = {0, a->d, x};
        both.n = draw_rows(a, seed, 0, of_a, x);
        both.n += draw_rows(b, seed, 1, of_b, x + both.n * a->d);
        const row_set rows = {&both, NULL, both.n};
        status = pairs_each(&p, PAIRS_DISTANCE, &rows, NULL, gather_tile, &g);
    }
    if (status == DFL_OK) {
        sort_reals(g.value, g.n);
        *bandwidth = (sqrt(g.value[(g.n - 1) / 2]) + sqrt(g.value[g.n / 2])) / 2;
        if (!(*bandwidth > 0))
            status = fail(DFL_E_RANGE, "the median distance between samples, MMD's bandwidth, is "
                                       "zero: most of them are alike");
    }
    pairs_free(&p);
    free(of_a);
    free(of_b);
    free(x);
    free(g.value);
    return status;
}

dfl_status mmd(const features *a, const features *b, const mmd_options *o,
               const metric_watch *watch, mmd_result *out) {
    *out = (mmd_result){.bandwidth = o->bandwidth};
    if (!(o->bandwidth >= 0) || !isfinite(o->bandwidth))
        return fail(DFL_E_RANGE, "MMD: bandwidth=%g; it must be above 0", o->bandwidth);
    TRY(features_check_pair(a, b, 2));
    if (out->bandwidth == 0) TRY(find_bandwidth(a, b, o->seed, &out->bandwidth));
    const double gauss = 1 / (2 * out->bandwidth * out->bandwidth);
    if (!(gauss >= DBL_MIN && gauss <= DBL_MAX))
        return fail(DFL_E_RANGE, "MMD: bandwidth=%g is out of range", out->bandwidth);
    discrepancy d;
    estimate e = {0};
    dfl_status status = discrepancy_new(a->d, a->n, b->n, &d);
    if (status == DFL_OK) {
        const row_set rows_a = {a, NULL, a->n}, rows_b = {b, NULL, b->n};
        d.k.gauss = gauss;
        d.p.watch = watch;
        d.p.total = 2 * pairs_work(a->n) + pairs_work(b->n);
        status = discrepancy_find(&d, &rows_a, &rows_b, &e);
    }
    if (status == DFL_OK) {
        out->squared = e.squared;
        out->error = sqrt(e.variance);
    }
    discrepancy_free(&d);
    return status;
}
