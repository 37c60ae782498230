/* The best times by local errors alone. The jump from t_i to t_j errs, along the teacher's path, by
   what least squares of its state x_j on its own x_i, its output e_i and, from the second step on,
   an older output e_h leave; in phase space x and e have two halves, and what is left of the halves of
   x_j is kept with its products. One triangle of all states and outputs holds the residuals of every jump:
   with X = Q R, that of a column on others is that of R's columns. The sum of weighted squares along
   a path of N jumps is least by dynamic programming over its last two times. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "study/fit.h"

/* ---- errors of jumps ---------------------------------------------------------------------------- */

enum { COLUMNS = 6 }; /* halves of state, output, older output */

/* Below this part of its length, what is left of a column is rounding. */
static const double part_min = 1e-10;

static double dot(size_t n, const double *x, const double *y) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* x without its parts along k unit vectors, twice, for orthogonality to rounding. */
static void reduce(size_t n, size_t k, const double *unit, double *x) {
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j < k; j++) {
            const double part = dot(n, unit + j * n, x);
            for (size_t i = 0; i < n; i++) x[i] -= part * unit[j * n + i];
        }
}

/* One more unit vector, if the column brings a direction. */
static size_t add_unit(size_t n, size_t k, double *unit, const double *column) {
    double *const x = unit + k * n;
    memcpy(x, column, n * sizeof *x);
    reduce(n, k, unit, x);
    const double length = sqrt(dot(n, x, x));
    if (!(length > part_min * sqrt(dot(n, column, column)))) return k;
    for (size_t i = 0; i < n; i++) x[i] /= length;
    return k + 1;
}

size_t fit_jump_columns(const fit_jumping *q) {
    return q->components * q->points + q->answers * (q->points - 1);
}

size_t fit_jump_planes(const fit_jumping *q) {
    return q->components == 2 ? 3 : 1;
}

/* Columns of the triangle one after the other; scratch for unit vectors and what is left of the
   halves of a state. */
typedef struct {
    const fit_jumping *q;
    size_t wide;
    double *column;              /* [wide][wide] */
    double *unit, *rest, *error; /* [COLUMNS][wide], [2][wide], [planes][points]^3 */
} jumps;

/* The halves of a value; k as of add_unit. */
static size_t add_units(jumps *p, size_t k, size_t first, size_t halves) {
    for (size_t i = 0; i < halves; i++)
        k = add_unit(p->wide, k, p->unit, p->column + (first + i) * p->wide);
    return k;
}

static void errors_from(jumps *p, size_t h, size_t i) {
    const fit_jumping *const q = p->q;
    const size_t n = p->wide, m = q->points, s = q->components, outputs = s * m, a = q->answers;
    double *const error = p->error + (h * m + i) * m;
    size_t k = add_units(p, 0, s * i, s);
    k = add_units(p, k, outputs + a * i, a);
    if (q->older && h < i) k = add_units(p, k, outputs + a * h, a);
    for (size_t j = i + 1; j < m; j++) {
        size_t plane = 0;
        memcpy(p->rest, p->column + s * j * n, s * n * sizeof *p->rest);
        for (size_t x = 0; x < s; x++) reduce(n, k, p->unit, p->rest + x * n);
        for (size_t x = 0; x < s; x++)
            for (size_t y = x; y < s; y++)
                error[plane++ * m * m * m + j] = dot(n, p->rest + x * n, p->rest + y * n);
    }
}

dfl_status fit_jump_errors(const fit_jumping *q, const double *triangle, double *error) {
    const size_t n = fit_jump_columns(q);
    jumps p = {.q = q,
               .wide = n,
               .column = mem_array(mem_product(n, n, 1), sizeof(double)),
               .unit = mem_array(mem_product(n, COLUMNS, 1), sizeof(double)),
               .rest = mem_array(mem_product(n, 2, 1), sizeof(double)),
               .error = error};
    const dfl_status status = p.column && p.unit && p.rest ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        for (size_t i = 0; i < n; i++)
            for (size_t j = i; j < n; j++) p.column[j * n + i] = triangle[i * n + j];
        errors_from(&p, 0, 0);
        for (size_t i = 1; i + 1 < q->points; i++)
            for (size_t h = 0; h < i; h++) errors_from(&p, h, i);
    }
    free(p.column);
    free(p.unit);
    free(p.rest);
    return status;
}

/* ---- the path ----------------------------------------------------------------------------------- */

/* Least sums of paths of one to `steps` jumps that end by the jump from i to j, and the time before
   i on the best of them. */
typedef struct {
    const fit_jumps *p;
    double *sum;      /* [steps][points][points] */
    uint16_t *before; /* the same */
} table;

static size_t cell(const table *t, size_t n, size_t i, size_t j) {
    return (n * t->p->points + i) * t->p->points + j;
}

/* What the jump from h over i to j adds. */
static double price(const fit_jumps *p, size_t h, size_t i, size_t j) {
    const size_t m = p->points;
    double sum = 0;
    for (size_t k = 0; k < p->planes; k++)
        sum += p->weight[j * p->planes + k] * p->error[((k * m + h) * m + i) * m + j];
    return sum;
}

static void extend(table *t, size_t n, size_t i, size_t j) {
    double least = INFINITY;
    for (size_t h = 0; h < i; h++) {
        const double sum = t->sum[cell(t, n - 1, h, i)] + price(t->p, h, i, j);
        if (!(sum < least)) continue;
        least = sum;
        t->before[cell(t, n, i, j)] = (uint16_t)h;
    }
    t->sum[cell(t, n, i, j)] = least;
}

static void fill(table *t) {
    const size_t m = t->p->points;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            t->sum[cell(t, 0, i, j)] = i == 0 && j > 0 ? price(t->p, 0, 0, j) : INFINITY;
    for (size_t n = 1; n < t->p->steps; n++)
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < m; j++) {
                t->sum[cell(t, n, i, j)] = INFINITY;
                if (i < j) extend(t, n, i, j);
            }
}

static void walk_back(const table *t, size_t *at, double *least) {
    const size_t steps = t->p->steps, last = t->p->points - 1;
    *least = INFINITY;
    at[steps] = last;
    for (size_t i = 0; i < last; i++) {
        const double sum = t->sum[cell(t, steps - 1, i, last)];
        if (!(sum < *least)) continue;
        *least = sum;
        at[steps - 1] = i;
    }
    for (size_t n = steps - 1; n > 0; n--) at[n - 1] = t->before[cell(t, n, at[n], at[n + 1])];
}

dfl_status fit_best_path(const fit_jumps *p, size_t *at, double *least) {
    const size_t cells = mem_product(p->steps, p->points, p->points);
    if (p->steps >= p->points || p->points > UINT16_MAX)
        return fail(DFL_E_RANGE, "%zu steps between %zu times", p->steps, p->points);
    table t = {.p = p,
               .sum = mem_array(cells, sizeof *t.sum),
               .before = mem_array(cells, sizeof *t.before)};
    dfl_status status = t.sum && t.before ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        fill(&t);
        walk_back(&t, at, least);
        if (!isfinite(*least))
            status = fail(DFL_E_NONFINITE, "no path of %zu jumps has a finite error", p->steps);
    }
    free(t.sum);
    free(t.before);
    return status;
}
