/* Order conditions of a step: constraint=order2 and order3 keep it exact not only where the
   network knows x_0, but also where its noise prediction is a polynomial of half the log-SNR,
   l, of degree below the order. Along the flow of a noise e(l) the state is

     x = a (X + integral of e d(b/a)),     b/a = exp(-l),

   so that X = 1 with e = 0, e = 1 and e = (l - l_n)^k each give the columns of a step (x_n, the
   predictions) and x_{n+1} a number, and a condition: c . columns = x_{n+1}. As many columns as
   there are conditions, the first, solve them alone: these are the coefficients of
   deis:kind=lograb, the base; every older prediction comes with what makes up for it there.
   Steps with fewer predictions keep as many conditions as these allow. */
#include <math.h>
#include <string.h>

#include "study/fit_order.h"

enum { MOST = 4 }; /* conditions */

/* Integral of s^k exp(-s) from 0 to h, k = 0, 1, 2. */
static double moment(int k, double h) {
    if (isinf(h)) return k == 2 ? 2 : 1;
    if (fabs(h) < 1) { /* where the closed form cancels */
        double sum = 0, part = pow(h, k + 1);
        for (int i = 1; i < 25; i++) {
            sum += part / (k + i);
            part *= -h / i;
        }
        return sum;
    }
    double value = -expm1(-h);
    for (int i = 1; i <= k; i++) value = i * value - pow(h, i) * exp(-h);
    return value;
}

/* State and prediction at time t of what condition `which` is about, at step n. */
typedef struct {
    double state, noise;
} course;

static course course_at(const fit *f, const double *t, size_t n, size_t which, double time) {
    const scalar_at at = process_at(f->process, time), from = process_at(f->process, t[n]);
    if (which == 0) return (course){at.a, 0};
    if (which == 1) return (course){at.b, 1};
    const int k = (int)which - 1;
    const double h = at.lambda - from.lambda;
    return (course){-at.a * exp(-from.lambda) * moment(k, h), isinf(h) ? 0 : pow(h, k)};
}

static double prediction_at(const fit *f, const double *t, size_t n, size_t which, size_t of) {
    const course c = course_at(f, t, n, which, t[of]);
    const scalar_at at = process_at(f->process, t[of]);
    if (!f->clean[of]) return c.noise;
    return which == 0 ? 1 : (c.state - at.b * c.noise) / at.a;
}

/* Columns and, last, x_{n+1}: [conditions][columns + 1]. */
static void write_rows(const fit *f, const double *t, size_t n, double *to) {
    const size_t columns = fit_columns(f, n), conditions = fit_order_conditions(f, n);
    for (size_t which = 0; which < conditions; which++) {
        double *const line = to + which * (columns + 1);
        line[0] = course_at(f, t, n, which, t[n]).state;
        for (size_t k = 1; k < columns; k++) line[k] = prediction_at(f, t, n, which, n + 1 - k);
        line[columns] = course_at(f, t, n, which, t[n + 1]).state;
    }
}

/* The first n columns of a [n][wide] become the unit matrix, by Gauss and Jordan with pivots. The
   rows are independent, as times differ. */
static void eliminate(size_t n, size_t wide, double *a) {
    for (size_t i = 0; i < n; i++) {
        size_t best = i;
        for (size_t r = i + 1; r < n; r++)
            if (fabs(a[r * wide + i]) > fabs(a[best * wide + i])) best = r;
        for (size_t k = 0; k < wide; k++) {
            const double swapped = a[i * wide + k];
            a[i * wide + k] = a[best * wide + k];
            a[best * wide + k] = swapped;
        }
        const double pivot = a[i * wide + i];
        for (size_t k = 0; k < wide; k++) a[i * wide + k] /= pivot;
        for (size_t r = 0; r < n; r++) {
            const double part = a[r * wide + i];
            for (size_t k = 0; k < wide && r != i; k++) a[r * wide + k] -= part * a[i * wide + k];
        }
    }
}

size_t fit_order(const fit *f) {
    const long long kind = opt_choice(&f->spec, "constraint");
    return kind < 2 ? 0 : (size_t)kind;
}

size_t fit_order_conditions(const fit *f, size_t n) {
    const size_t most = fit_columns(f, n), order = fit_order(f);
    return order + 1 < most ? order + 1 : most;
}

dfl_status fit_order_check(const fit *f) {
    const size_t order = fit_order(f);
    if (order == 0) return DFL_OK;
    if (f->components == 2)
        return fail(DFL_E_COMBINATION,
                    "fit: constraint=order%zu is not for phase space; take consistency", order);
    if (f->history + 1 < order)
        return fail(DFL_E_RANGE, "fit: constraint=order%zu needs history=%zu or more", order,
                    order - 1);
    return DFL_OK;
}

dfl_status fit_order_check_times(const fit *f) {
    if (fit_order(f) == 0 || process_at(f->process, f->t[0]).a > 0) return DFL_OK;
    return fail(
        DFL_E_RANGE,
        "fit: at t = %g there is no signal, and a polynomial of the log-SNR has no value; with "
        "constraint=order%zu begin below it (t_start)",
        f->t[0], fit_order(f));
}

void fit_order_base(const fit *f, const double *t, size_t n, double *base) {
    const size_t columns = fit_columns(f, n), conditions = fit_order_conditions(f, n);
    double a[MOST * (FIT_COLUMNS + 1)];
    write_rows(f, t, n, a);
    eliminate(conditions, columns + 1, a);
    for (size_t i = 0; i < conditions; i++) base[i] = a[i * (columns + 1) + columns];
}

void fit_order_basis(const fit *f, const double *t, size_t n, double *basis) {
    const size_t columns = fit_columns(f, n), conditions = fit_order_conditions(f, n);
    const size_t unknowns = columns - conditions;
    double a[MOST * (FIT_COLUMNS + 1)];
    write_rows(f, t, n, a);
    eliminate(conditions, columns + 1, a);
    for (size_t j = 0; j < unknowns; j++) {
        basis[(conditions + j) * unknowns + j] = 1;
        for (size_t i = 0; i < conditions; i++)
            basis[i * unknowns + j] = -a[i * (columns + 1) + conditions + j];
    }
}
