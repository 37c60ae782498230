/* Reading moments of data. The file is a stranger's: shapes, finiteness and symmetry are checked, and a
   covariance may be negative by no more than the rounding of float32. */
#include "eval/spectrum.h"

#include <math.h>
#include <stdlib.h>

#include "base/dense.h"
#include "io/io.h"

#define LIMIT    ((size_t)1 << 30) /* bytes of an array */
#define ROUNDING 1e-5              /* relative to the largest entry */

enum { MEAN, MU, COV, SIGMA, VALUES, PROJECTED, NAMES };
static const char *const names[NAMES] = {"mean",  "mu",          "cov",
                                         "sigma", "eigenvalues", "projected_mean"};

/* A mean and what stands beside it: matrices or eigenvalues. */
typedef struct {
    const char *path;
    const array *mean, *spread;
    const char *mean_name, *spread_name;
    bool whole; /* spread holds matrices */
} moments_file;

static bool there(const array *a) {
    return a->rank >= 0;
}

static dfl_status choose(const char *path, const array *a, moments_file *out) {
    const int pairs[3][2] = {{VALUES, PROJECTED}, {COV, MEAN}, {SIGMA, MU}};
    for (int i = 0; i < 3; i++) {
        const int spread = pairs[i][0], mean = pairs[i][1];
        if (!there(&a[spread]) || !there(&a[mean])) continue;
        *out = (moments_file){path,        &a[mean],      &a[spread],
                              names[mean], names[spread], spread != VALUES};
        return DFL_OK;
    }
    return fail(
        DFL_E_KEY,
        "%s: no moments: \"mean\" and \"cov\", \"mu\" and \"sigma\", or \"eigenvalues\" and "
        "\"projected_mean\" are needed",
        path);
}

static dfl_status check_shapes(const moments_file *f, spectrum *s) {
    const array *m = f->mean, *c = f->spread;
    const int more = f->whole ? 1 : 0;
    bool fits = (m->rank == 1 || m->rank == 2) && c->rank == m->rank + more;
    for (int i = 0; i < m->rank && fits; i++) fits = c->shape[i] == m->shape[i] && m->shape[i] > 0;
    if (fits && f->whole) fits = c->shape[c->rank - 1] == m->shape[m->rank - 1];
    if (!fits)
        return fail(
            DFL_E_FORMAT, "%s: \"%s\" must be [d] or [classes][d], \"%s\" [d]%s or [classes][d]%s",
            f->path, f->mean_name, f->spread_name, f->whole ? "[d]" : "", f->whole ? "[d]" : "");
    s->classes = m->rank == 2 ? m->shape[0] : 1;
    s->dim = s->modes = m->shape[m->rank - 1];
    return DFL_OK;
}

/* n numbers from `from` on, in double. */
static dfl_status copy(const moments_file *f, const array *a, const char *name, size_t from,
                       size_t n, double *to) {
    for (size_t i = 0; i < n; i++) {
        to[i] = array_real(a, from + i);
        if (!isfinite(to[i]))
            return fail(DFL_E_NONFINITE, "%s: \"%s\" has a number that is not finite", f->path,
                        name);
    }
    return DFL_OK;
}

static dfl_status check_type(const moments_file *f, const array *a, const char *name) {
    if (array_is_real(a)) return DFL_OK;
    return fail(DFL_E_FORMAT, "%s: \"%s\" must be float32 or float64", f->path, name);
}

static double largest(const double *x, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* Rounding may leave eigenvalues just below 0. */
static dfl_status clip(const moments_file *f, double *variance, size_t n) {
    const double least = -ROUNDING * largest(variance, n);
    for (size_t i = 0; i < n; i++) {
        if (variance[i] < least)
            return fail(DFL_E_RANGE, "%s: \"%s\" is no covariance: its eigenvalue %g is negative",
                        f->path, f->spread_name, variance[i]);
        if (variance[i] < 0) variance[i] = 0;
    }
    return DFL_OK;
}

static dfl_status check_symmetry(const moments_file *f, size_t d, const double *c) {
    const double most = ROUNDING * largest(c, d * d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++)
            if (fabs(c[i * d + j] - c[j * d + i]) > most)
                return fail(DFL_E_FORMAT, "%s: \"%s\" is not symmetric (rows %zu and %zu)", f->path,
                            f->spread_name, i, j);
    return DFL_OK;
}

/* Eigenvalues of one class, and its mean along the eigenvectors. `c` is scratch, [d][d]. */
static dfl_status decompose(const moments_file *f, size_t class, const double *mean, double *c,
                            const spectrum *s) {
    const size_t d = s->dim;
    TRY(copy(f, f->spread, f->spread_name, class * d * d, d * d, c));
    TRY(check_symmetry(f, d, c));
    TRY(dense_eigen(d, c, true, s->variance + class * d));
    for (size_t k = 0; k < d; k++) {
        double sum = 0;
        for (size_t i = 0; i < d; i++) sum += c[k * d + i] * mean[i];
        s->mean[class * d + k] = sum;
    }
    return DFL_OK;
}

static dfl_status fill_whole(const moments_file *f, spectrum *s) {
    double *mean = mem_array(s->dim, sizeof *mean);
    double *c = mem_array(mem_product(s->dim, s->dim, 1), sizeof *c);
    dfl_status status = mean && c ? DFL_OK : fail_memory();
    for (size_t k = 0; k < s->classes && status == DFL_OK; k++) {
        status = copy(f, f->mean, f->mean_name, k * s->dim, s->dim, mean);
        if (status == DFL_OK) status = decompose(f, k, mean, c, s);
    }
    free(mean);
    free(c);
    return status;
}

static dfl_status fill(const moments_file *f, spectrum *s) {
    TRY(check_type(f, f->mean, f->mean_name));
    TRY(check_type(f, f->spread, f->spread_name));
    TRY(check_shapes(f, s));
    const size_t n = mem_product(s->classes, s->modes, 1);
    s->variance = mem_array(n, sizeof *s->variance);
    s->mean = mem_array(n, sizeof *s->mean);
    if (!s->variance || !s->mean) return fail_memory();
    if (f->whole) {
        TRY(fill_whole(f, s));
    } else {
        TRY(copy(f, f->mean, f->mean_name, 0, n, s->mean));
        TRY(copy(f, f->spread, f->spread_name, 0, n, s->variance));
    }
    for (size_t k = 0; k < s->classes; k++) TRY(clip(f, s->variance + k * s->modes, s->modes));
    return DFL_OK;
}

dfl_status spectrum_read(const char *path, spectrum *out) {
    array arrays[NAMES] = {{0}};
    moments_file f = {0};
    *out = (spectrum){0};
    TRY(npz_read(path, names, NAMES, true, LIMIT, arrays));
    dfl_status status = choose(path, arrays, &f);
    if (status == DFL_OK) status = fill(&f, out);
    if (status != DFL_OK) spectrum_free(out);
    for (int i = 0; i < NAMES; i++) array_free(&arrays[i]);
    return status;
}

dfl_status spectrum_of_numbers(double mean, double std, spectrum *out) {
    *out = (spectrum){.classes = 1, .modes = 1};
    if (!isfinite(mean) || !isfinite(std) || !(std >= 0))
        return fail(DFL_E_RANGE, "moments: mean=%g and std=%g; they must be finite, std >= 0", mean,
                    std);
    out->variance = mem_array(1, sizeof *out->variance);
    out->mean = mem_array(1, sizeof *out->mean);
    if (!out->variance || !out->mean) {
        spectrum_free(out);
        return fail_memory();
    }
    *out->variance = std * std;
    *out->mean = mean;
    return DFL_OK;
}

void spectrum_free(spectrum *s) {
    free(s->variance);
    free(s->mean);
    *s = (spectrum){0};
}
