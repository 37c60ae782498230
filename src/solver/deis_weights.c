#include "solver/deis_weights.h"

#include <math.h>

#include "solver/overrho.h"

/* One basis polynomial with its nodes in its own variable. */
typedef struct {
    const deis_basis *b;
    double node[DEIS_ORDER_MAX + 1];
    int j;
} integrand;

double deis_factor_at(const deis_factor *f, double t) {
    if (f->n == 0) return 1;
    const double position = t * f->slope - f->shift;
    if (position <= 0) return f->value[0];
    const size_t i = (size_t)position;
    if (i + 1 >= f->n) return f->value[f->n - 1];
    const double part = position - (double)i, low = f->value[i], high = f->value[i + 1];
    return f->geometric ? low * pow(high / low, part) : low + part * (high - low);
}

static double variable_of(const deis_basis *b, double t, double rho) {
    return b->variable == DEIS_IN_T ? t : b->variable == DEIS_IN_RHO ? rho : log(rho);
}

static double value_at(double t, double rho, const void *user) {
    const integrand *g = user;
    const deis_basis *b = g->b;
    return deis_factor_at(&b->factor, t) *
           quad_lagrange(g->node, b->nodes, g->j, variable_of(b, t, rho));
}

static double slope_of(const scalar_at *at) {
    return at->g2 / (2 * at->a * at->b);
}

/* The next kink above t: of the process's table or of the factor; INFINITY if there is none. */
static double next_kink(const deis_basis *b, double t) {
    double next = INFINITY;
    for (size_t lo = 0, hi = b->p->nknots; lo < hi;) {
        const size_t mid = (lo + hi) / 2;
        if (b->p->knots[mid] > t) {
            next = b->p->knots[mid];
            hi = mid;
        } else
            lo = mid + 1;
    }
    if (b->factor.n == 0) return next;
    const double index = floor(t * b->factor.slope - b->factor.shift) + 1;
    for (double i = fmax(index, 0); i < (double)b->factor.n; i++) {
        const double kink = (i + b->factor.shift) / b->factor.slope;
        if (kink > t) return fmin(next, kink);
    }
    return next;
}

/* One piece for each stretch between kinks inside [s, t]. */
static double over_kinks(const integrand *g, double t, double s) {
    const process *p = g->b->p;
    double sum = 0, from = s, rho = process_at(p, s).rho;
    for (double kink = next_kink(g->b, s); kink < t; kink = next_kink(g->b, kink)) {
        const double next = process_at(p, kink).rho;
        if (kink - from > 1e-13) sum += rho_integrate(p, value_at, g, rho, next, 16);
        rho = next;
        from = kink;
    }
    return sum + rho_integrate(p, value_at, g, rho, process_at(p, t).rho, 16);
}

static double over_smooth(const integrand *g, double t, double s) {
    const process *p = g->b->p;
    return rho_integrate(p, value_at, g, process_at(p, s).rho, process_at(p, t).rho, 48);
}

/* The released quadrature: 10000 equal steps from t down, right ends left out; in rho where the
   bases are polynomials in rho, else in t. */
static double left_sum(const integrand *g, double t, double s) {
    enum { POINTS = 10000 };
    const process *p = g->b->p;
    const bool by_rho = g->b->variable == DEIS_IN_RHO;
    const double from = by_rho ? process_at(p, t).rho : t, to = by_rho ? process_at(p, s).rho : s;
    const double step = (to - from) / POINTS;
    double sum = 0;
    for (int i = 0; i < POINTS; i++) {
        const double at = from + i * step;
        if (by_rho) {
            sum += value_at(process_time_of_rho(p, at), at, g) * step;
            continue;
        }
        /* a node on a table's kink takes the slope above it, whatever its last bit */
        const scalar_at here = process_at(p, p->nknots ? at + 1e-13 : at);
        sum += slope_of(&here) * value_at(at, here.rho, g) * step;
    }
    return sum;
}

double deis_weight(const deis_basis *b, int j, double t, double s) {
    integrand g = {.b = b, .j = j};
    for (int k = 0; k < b->nodes; k++)
        g.node[k] = variable_of(b, b->t[k], process_at(b->p, b->t[k]).rho);
    if (b->riemann) return left_sum(&g, t, s);
    const bool kinks = b->p->nknots || b->factor.n;
    return -(kinks ? over_kinks(&g, t, s) : over_smooth(&g, t, s));
}

void deis_begin(deis_basis *b, const problem *pb, int n, int order, val eps) {
    b->nodes = (n < order ? n : order) + 1;
    for (int j = 0; j < b->nodes; j++) b->t[j] = pb->t[n - j];
    for (int j = b->nodes - 1; j > 0; j--) b->eps[j] = b->eps[j - 1];
    b->eps[0] = eps;
}

val deis_extrapolate(const deis_basis *b, const problem *pb, rows *r, val x, int n) {
    const double t = pb->t[n], s = pb->t[n + 1];
    const scalar_at at = process_at(pb->process, t), to = process_at(pb->process, s);
    term terms[DEIS_ORDER_MAX + 2] = {{x, blk_real(solver_psi(&at, &to))}};
    for (int j = 0; j < b->nodes; j++) {
        const double weight = to.a * deis_weight(b, j, t, s) / deis_factor_at(&b->factor, b->t[j]);
        terms[1 + j] = (term){b->eps[j], blk_real(weight)};
    }
    return rows_lin(r, terms, (size_t)b->nodes + 1);
}
