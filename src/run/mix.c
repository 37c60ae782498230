/* Mixture kernels: x' = delta_k + A_k z with delta_k = s u_k and A_k A_k^T = sigma^2 I - Delta_k.
 *
 * Gabbur, arXiv 2311.04938, sections 3 and 4, and the exact covariances FULL and RANK1. With
 * S = sum_l pi_l u_l u_l^T (unit offsets), for component k and z unit normals:
 *   diag   variance of coordinate i: sigma^2 - s^2 S_ii / (K pi_k)
 *   vub    coordinate i < K: sigma^2 - s^2 p_(i) / (K pi_k), p_(i) the i-th smallest prior
 *   full   sigma z + sum_j (sqrt(sigma^2 - s^2 lambda_j / (K pi_k)) - sigma) v_j (v_j . z)
 *   rank1  sigma z + (sqrt(sigma^2 - |delta_k|^2) - sigma) d (d . z),  d = delta_k / |delta_k|
 * Variances below zero are cut to zero, as in the paper. lambda_j, v_j: eigenpairs of S, from the
 * K x K Gram matrix. */
#include "run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Unit offsets and what follows from them; kernels of equal law, key and priors share one. */
typedef struct {
    const mix_kernel *from;
    double *unit;     /* [K][dim] */
    double *diagonal; /* [dim] S_ii */
    double *length2;  /* [K] |u_k|^2 */
    double *rank;     /* [K] priors, rising */
    size_t nvectors;
    double *lambda;  /* [K], first nvectors used */
    double *vectors; /* [K][dim] */
} mix_table;

struct mix {
    const dfl_plan *plan;
    size_t dim;
    mix_table *tables; /* [nkernels], first ntables used */
    size_t ntables;
    size_t *table_of; /* [nkernels] */
};

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *to, double c, const double *v, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] += c * v[i];
}

static void scale(double *v, double c, size_t n) {
    for (size_t i = 0; i < n; i++) v[i] *= c;
}

/* Subtracts the prior-weighted mean, so that sum pi_k u_k = 0. mean is scratch, [dim]. */
static void centre(const mix_kernel *k, double *u, size_t dim, double *mean) {
    memset(mean, 0, dim * sizeof *mean);
    for (int l = 0; l < k->K; l++) add_scaled(mean, k->pi[l], u + (size_t)l * dim, dim);
    for (int l = 0; l < k->K; l++) add_scaled(u + (size_t)l * dim, -1, mean, dim);
}

/* Gram-Schmidt, twice for orthogonality to rounding: Haar-distributed like the paper's SVD. */
static dfl_status orthonormalise(double *u, int K, size_t dim) {
    for (int k = 0; k < K; k++) {
        double *v = u + (size_t)k * dim;
        const double before = dot(v, v, dim);
        for (int pass = 0; pass < 2; pass++)
            for (int l = 0; l < k; l++) {
                const double *w = u + (size_t)l * dim;
                add_scaled(v, -dot(w, v, dim), w, dim);
            }
        const double after = dot(v, v, dim);
        if (!(after > 1e-12 * before))
            return fail(DFL_E_COMBINATION,
                        "mixture kernel: the table's rows are linearly dependent (row %d); offsets "
                        "\"ortho\" need independent ones",
                        k);
        scale(v, 1 / sqrt(after), dim);
    }
    return DFL_OK;
}

static dfl_status apply_law(const mix_kernel *k, double *u, size_t dim, double *scratch) {
    if (k->law == OFFSETS_DATA) return DFL_OK;
    if (k->law == OFFSETS_ORTHO) {
        if ((size_t)k->K > dim)
            return fail(DFL_E_COMBINATION,
                        "mixture kernel: %d orthogonal offsets do not fit in %zu dimensions", k->K,
                        dim);
        TRY(orthonormalise(u, k->K, dim));
        centre(k, u, dim, scratch);
        return DFL_OK;
    }
    centre(k, u, dim, scratch);
    if (k->K == 1) return DFL_OK; /* one component: no offset */
    double spread = 0, least = INFINITY;
    for (int l = 0; l < k->K; l++) {
        double *v = u + (size_t)l * dim;
        const double square = dot(v, v, dim);
        spread += k->pi[l] * square;
        least = fmin(least, square);
        if (k->law == OFFSETS_RAND && square > 0) scale(v, 1 / sqrt(square), dim);
    }
    if (!((k->law == OFFSETS_RAND ? least : spread) > 0))
        return fail(
            DFL_E_COMBINATION,
            "mixture kernel: offsets made of the table's rows have no length; the rows must "
            "differ");
    if (k->law == OFFSETS_RAND_C) scale(u, 1 / sqrt(spread), (size_t)k->K * dim);
    return DFL_OK;
}

/* One Jacobi rotation of the symmetric n x n matrix g in the plane (p, q); w collects vectors. */
static void rotate(double *g, double *w, int n, int p, int q) {
    const double off = g[p * n + q];
    if (off == 0) return;
    const double theta = (g[q * n + q] - g[p * n + p]) / (2 * off);
    const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    const double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int i = 0; i < n; i++) {
        const double a = g[i * n + p], b = g[i * n + q];
        g[i * n + p] = c * a - s * b;
        g[i * n + q] = s * a + c * b;
    }
    for (int i = 0; i < n; i++) {
        const double a = g[p * n + i], b = g[q * n + i];
        g[p * n + i] = c * a - s * b;
        g[q * n + i] = s * a + c * b;
        const double x = w[i * n + p], y = w[i * n + q];
        w[i * n + p] = c * x - s * y;
        w[i * n + q] = s * x + c * y;
    }
}

static double off_diagonal(const double *g, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) sum += g[i * n + j] * g[i * n + j];
    return sum;
}

/* Eigenvalues on g's diagonal, eigenvectors in the columns of w (which starts as the identity). */
static void jacobi(double *g, double *w, int n) {
    const double enough = 1e-34 * dot(g, g, (size_t)n * (size_t)n);
    for (int sweep = 0; sweep < 60 && off_diagonal(g, n) > enough; sweep++)
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) rotate(g, w, n, p, q);
}

/* v_j = sum_l w_lj sqrt(pi_l) u_l / sqrt(lambda_j) for the eigenvalues that are not rounding. */
static dfl_status eigenpairs(mix_table *t, size_t dim) {
    const int K = t->from->K;
    const double *pi = t->from->pi;
    double *g = mem_array((size_t)K * (size_t)K, sizeof *g);
    double *w = mem_array((size_t)K * (size_t)K, sizeof *w);
    t->lambda = mem_array((size_t)K, sizeof(double));
    t->vectors = mem_array(mem_product((size_t)K, dim, 1), sizeof(double));
    const bool ok = g && w && t->lambda && t->vectors;
    if (ok) {
        double largest = 0;
        for (int i = 0; i < K; i++) {
            w[i * K + i] = 1;
            for (int j = 0; j < K; j++)
                g[i * K + j] = sqrt(pi[i] * pi[j]) *
                               dot(t->unit + (size_t)i * dim, t->unit + (size_t)j * dim, dim);
        }
        jacobi(g, w, K);
        for (int j = 0; j < K; j++) largest = fmax(largest, g[j * K + j]);
        for (int j = 0; j < K; j++) {
            const double lambda = g[j * K + j];
            if (!(lambda > 1e-12 * largest)) continue;
            double *v = t->vectors + t->nvectors * dim;
            for (int l = 0; l < K; l++)
                add_scaled(v, w[l * K + j] * sqrt(pi[l] / lambda), t->unit + (size_t)l * dim, dim);
            t->lambda[t->nvectors++] = lambda;
        }
    }
    free(g);
    free(w);
    return ok ? DFL_OK : fail_memory();
}

static dfl_status fill_table(mix_table *t, size_t dim, mix_normals_fn normals, void *user) {
    const mix_kernel *k = t->from;
    const size_t K = (size_t)k->K;
    t->unit = mem_array(mem_product(K, dim, 1), sizeof(double));
    t->diagonal = mem_array(dim, sizeof(double));
    t->length2 = mem_array(K, sizeof(double));
    t->rank = mem_array(K, sizeof(double));
    if (!t->unit || !t->diagonal || !t->length2 || !t->rank) return fail_memory();
    if (k->law == OFFSETS_DATA)
        memcpy(t->unit, k->data, K * dim * sizeof(double));
    else
        TRY(normals(user, k->table, K * dim, t->unit));
    TRY(apply_law(k, t->unit, dim, t->diagonal));
    memset(t->diagonal, 0, dim * sizeof(double));
    for (size_t l = 0; l < K; l++) {
        const double *u = t->unit + l * dim;
        for (size_t i = 0; i < dim; i++) t->diagonal[i] += k->pi[l] * u[i] * u[i];
        t->length2[l] = dot(u, u, dim);
        t->rank[l] = k->pi[l];
    }
    sort_reals(t->rank, K);
    return k->covariance == COV_FULL ? eigenpairs(t, dim) : DFL_OK;
}

static bool shares(const mix_kernel *a, const mix_kernel *b) {
    return a->law != OFFSETS_DATA && a->law == b->law && a->table == b->table && a->K == b->K &&
           a->covariance == b->covariance &&
           memcmp(a->pi, b->pi, (size_t)a->K * sizeof *a->pi) == 0;
}

static dfl_status fill_mix(mix *m, mix_normals_fn normals, void *user) {
    /* A table that is drawn costs its plan nothing to write, so that a small file could ask for any
       amount of memory. */
    enum { NUMBERS_MAX = 1 << 28 };
    const program *code = &m->plan->code;
    size_t numbers = 0;
    for (size_t i = 0; i < code->nkernels; i++) {
        const mix_kernel *k = &code->kernels[i];
        if (k->law == OFFSETS_DATA && k->ndata != (size_t)k->K * m->dim)
            return fail(DFL_E_COMBINATION,
                        "plan kernel %zu: its offsets have %zu numbers each, the samples %zu", i,
                        k->ndata / (size_t)k->K, m->dim);
        size_t at = 0;
        while (at < m->ntables && !shares(m->tables[at].from, k)) at++;
        m->table_of[i] = at;
        if (at < m->ntables) continue;
        const size_t more = mem_product((size_t)k->K, m->dim, 1);
        if (more > NUMBERS_MAX - numbers)
            return fail(DFL_E_RANGE, "plan kernel %zu: the tables hold more than %d numbers", i,
                        NUMBERS_MAX);
        numbers += more;
        m->tables[m->ntables++].from = k;
        TRY(fill_table(&m->tables[at], m->dim, normals, user));
    }
    return DFL_OK;
}

dfl_status mix_new(const dfl_plan *plan, size_t dim, mix_normals_fn normals, void *user,
                   mix **out) {
    *out = NULL;
    mix *m = mem_array(1, sizeof *m);
    if (!m) return fail_memory();
    m->plan = plan;
    m->dim = dim;
    m->tables = mem_array(plan->code.nkernels, sizeof *m->tables);
    m->table_of = mem_array(plan->code.nkernels, sizeof *m->table_of);
    const dfl_status status = m->tables && m->table_of ? fill_mix(m, normals, user) : fail_memory();
    if (status != DFL_OK)
        mix_free(m);
    else
        *out = m;
    return status;
}

void mix_free(mix *m) {
    if (!m) return;
    for (size_t i = 0; i < m->ntables; i++) {
        free(m->tables[i].unit);
        free(m->tables[i].diagonal);
        free(m->tables[i].length2);
        free(m->tables[i].rank);
        free(m->tables[i].lambda);
        free(m->tables[i].vectors);
    }
    free(m->tables);
    free(m->table_of);
    free(m);
}

/* sqrt of what is left of the variance; rounding at the exact bound counts as nothing left. */
static double rest(double variance, double sigma) {
    return variance <= 1e-12 * sigma * sigma ? 0 : sqrt(variance);
}

/* x += (length - sigma) v (v . x) with v = direction / |direction|. */
static void stretch(double *x, const double *direction, double norm2, double change, size_t dim) {
    add_scaled(x, change * dot(direction, x, dim) / norm2, direction, dim);
}

/* x <- A_k x. FULL and RANK1 first change the lengths along their directions, then scale all. */
static void shape_noise(const mix_kernel *k, const mix_table *t, int pick, double *x, size_t dim) {
    const double sigma = k->sigma, variance = sigma * sigma, s2 = k->s * k->s;
    const double share = s2 / (k->K * k->pi[pick]);
    switch (k->covariance) {
    case COV_DIAG:
        for (size_t i = 0; i < dim; i++) x[i] *= rest(variance - share * t->diagonal[i], sigma);
        break;
    case COV_VUB:
        for (size_t i = 0; i < dim; i++)
            x[i] *=
                k->K > 1 && i < (size_t)k->K ? rest(variance - share * t->rank[i], sigma) : sigma;
        break;
    case COV_FULL:
        for (size_t j = 0; j < t->nvectors; j++)
            stretch(x, t->vectors + j * dim, 1,
                    rest(variance - share * t->lambda[j], sigma) / sigma - 1, dim);
        scale(x, sigma, dim);
        break;
    case COV_RANK1:
        if (t->length2[pick] > 0)
            stretch(x, t->unit + (size_t)pick * dim, t->length2[pick],
                    rest(variance - s2 * t->length2[pick], sigma) / sigma - 1, dim);
        scale(x, sigma, dim);
        break;
    }
}

void mix_apply(const mix *m, int kernel, double u, double *x) {
    const mix_kernel *k = &m->plan->code.kernels[kernel];
    const mix_table *t = &m->tables[m->table_of[kernel]];
    int pick = 0;
    double below = k->pi[0];
    while (pick < k->K - 1 && !(u < below)) below += k->pi[++pick];
    if (k->sigma > 0)
        shape_noise(k, t, pick, x, m->dim);
    else
        memset(x, 0, m->dim * sizeof *x);
    add_scaled(x, k->s, t->unit + (size_t)pick * m->dim, m->dim);
}
