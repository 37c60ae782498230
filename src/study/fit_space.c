/* What the space of the process decides of a fit: the numbers of a state, the base of a step's
   coefficients and what may be added to it.

   Scalar: with prediction e of noise n, or of x_0 where less noise is told,
     base   x' = (a_s/a_t) x + (b_s - (a_s/a_t) b_t) n                        ddim
   Phase space: with Psi the mean transition, R the factor that follows the flow (solver/noisefactor.h)
   and e = V^-1 Q n, V made of the network's own factor and Q of R's turning,
     base   z' = Psi z + (R_s - Psi R_t) n                                    deis:order=0,factor=flow
   Both are exact for data that is one point, where n is constant. A network that answers one half does
   not tell n; there the base is deis:order=0, the prediction of that half held.

   Consistency keeps exact what is exact where the network knows x_0: rows c of coefficients with
     c_z a_t = a_s      and      c_z R_t + sum_j c_j V_j^-1 Q_j = R_s.
   Conditions of higher order are those of fit_order.c. */
#include <math.h>
#include <string.h>

#include "solver/deis_phase.h"
#include "solver/solver.h"
#include "study/fit_order.h"

static bool phase(const fit *f) {
    return f->components == 2;
}

static bool consistent(const fit *f) {
    return opt_choice(&f->spec, "constraint") == 1;
}

static noise_factor base_factor(const fit *f) {
    return f->answers == 2 ? FACTOR_FLOW : FACTOR_CHOLESKY;
}

static rows builder_of(const fit *f) {
    return (rows){.process = f->process, .form = &f->model->card.form};
}

dfl_status fit_space_new(fit *f) {
    f->dim = card_dim(&f->model->card);
    f->components = (size_t)f->process->row->components;
    f->answers = phase(f) && f->model->card.form.half != NET_BOTH ? 1 : f->components;
    f->state = f->components * f->dim;
    f->answer = f->answers * f->dim;
    f->unit[0] = 1;
    f->unit[1] = phase(f) ? process_prior(f->process, 1).v[3] : 1;
    TRY(fit_order_check(f));
    if (f->answers == f->components || !consistent(f)) return DFL_OK;
    return fail(
        DFL_E_COMBINATION,
        "fit: constraint=consistency needs a network that predicts both halves, and this one "
        "predicts one; take constraint=none");
}

const char *fit_usual_teacher(const fit *f) {
    if (!phase(f)) return opt_text(&f->spec, "teacher");
    return f->answers == 2 ? "deis:order=3,factor=flow" : "deis:order=2";
}

const char *fit_base_name(const fit *f) {
    static const char *const of_order[] = {"deis:kind=lograb,order=1", "deis:kind=lograb,order=2"};
    if (fit_order(f)) return of_order[fit_order(f) - 2];
    if (!phase(f)) return "ddim";
    return f->answers == 2 ? "deis:order=0,factor=flow" : "deis:order=0";
}

size_t fit_terms(const fit *f, size_t n) {
    return 2 + (n < f->history ? n : f->history);
}

size_t fit_columns(const fit *f, size_t n) {
    return f->components + f->answers * (fit_terms(f, n) - 1);
}

/* Consistency is as many conditions as a state has labels: of x_0 and of each half of the noise. */
size_t fit_unknown_count(const fit *f, size_t n) {
    if (fit_order(f)) return fit_columns(f, n) - fit_order_conditions(f, n);
    return fit_columns(f, n) - (consistent(f) ? 1 + f->components : 0);
}

/* Columns are divided by it: those of predictions are in scale. */
static double unit_of(const fit *f, size_t column) {
    return column < f->components ? f->unit[column] : 1;
}

blk fit_noise_map(const rows *r, double t) {
    const net_half half = r->form->half;
    const blk map = rows_eps_map(r, t);
    return half == NET_BOTH ? map : blk_real(map.v[half == NET_M ? 1 : 0]);
}

/* ---- half the log-SNR ---------------------------------------------------------------------------- */

double fit_lambda(const process *p, double t) {
    if (p->row->components == 1) return process_at(p, t).lambda;
    marginal m;
    if (t == 0) return INFINITY;
    process_marginal(p, t, &m);
    const blk inverse = blk_inverse(blk_2x2(m.b[0], m.b[1], m.b[2], m.b[3]));
    return log(hypot(inverse.v[0] * m.a[0] + inverse.v[1] * m.a[1],
                     inverse.v[2] * m.a[0] + inverse.v[3] * m.a[1]));
}

double fit_time_of_lambda(const process *p, double lambda) {
    if (p->row->components == 1) return process_time_of_rho(p, exp(-lambda));
    double lo = log(p->t_lo), hi = log(p->t_hi);
    for (int i = 0; i < 100; i++) { /* far beyond the last bit */
        const double middle = (lo + hi) / 2;
        *(fit_lambda(p, exp(middle)) > lambda ? &lo : &hi) = middle;
    }
    return exp((lo + hi) / 2);
}

/* ---- base ---------------------------------------------------------------------------------------- */

/* x' = psi x + d eps; from a prediction of x_0, x' = a_s x_0 + b_s (x - a x_0)/b. */
static void scalar_base(const fit *f, const double *t, size_t n, double *base) {
    const scalar_at at = process_at(f->process, t[n]);
    const scalar_at to = process_at(f->process, t[n + 1]);
    base[0] = f->clean[n] ? to.b / at.b : solver_psi(&at, &to);
    base[1] = f->clean[n] ? to.a - at.a * base[0] : solver_gap(&at, &to);
}

double fit_reach(const fit *f, const double *t, size_t n) {
    double base[2];
    scalar_base(f, t, n, base);
    return base[1];
}

static void phase_base(const fit *f, const double *t, size_t n, double *base) {
    const process *p = f->process;
    const rows r = builder_of(f);
    const noise_factor factor = base_factor(f);
    const size_t columns = fit_columns(f, n), m = f->answers;
    const blk psi = phase_transition(p, phase_integral(p, t[n + 1]) - phase_integral(p, t[n]));
    const blk push =
        blk_mul(deis_phase_hold(&r, factor, t[n], t[n + 1]),
                blk_mul(noise_from_output(&r, factor, t[n]), blk_inverse(fit_noise_map(&r, t[n]))));
    for (size_t i = 0; i < 2; i++) {
        memcpy(base + i * columns, psi.v + 2 * i, 2 * sizeof *base);
        memcpy(base + i * columns + 2, push.v + m * i, m * sizeof *base);
    }
}

void fit_base(const fit *f, const double *t, size_t n, double base[FIT_NUMBERS]) {
    memset(base, 0, FIT_NUMBERS * sizeof *base);
    (fit_order(f) ? fit_order_base : phase(f) ? phase_base : scalar_base)(f, t, n, base);
}

/* ---- what may be added --------------------------------------------------------------------------- */

/* An older prediction comes with what keeps a c_x + (sum over x_0) c_j and b c_x + (sum over noise)
   c_j as they are. */
static void scalar_basis(const fit *f, const double *t, size_t n, double *basis) {
    const size_t unknowns = fit_unknown_count(f, n);
    const scalar_at at = process_at(f->process, t[n]);
    for (size_t j = 0; j < unknowns; j++) {
        const size_t k = j + 2;
        const bool same = f->clean[n - (k - 1)] == f->clean[n];
        basis[k * unknowns + j] = 1;
        basis[j] = same ? 0 : -1 / at.a; /* an x_0 before noise predictions */
        basis[unknowns + j] = same ? -1 : at.b / at.a;
    }
}

/* The noise n along the flow, counted from t_n on, and the prediction at time t: e = (this) n. */
static blk prediction_of_noise(const fit *f, const double *t, size_t n, double at) {
    const rows r = builder_of(f);
    const blk own =
        blk_mul(noise_from_output(&r, FACTOR_FLOW, at), blk_inverse(fit_noise_map(&r, at)));
    const blk turned = blk_mul(blk_inverse(noise_along_flow(f->process, at, at)),
                               noise_along_flow(f->process, at, t[n]));
    return blk_mul(blk_inverse(own), turned);
}

/* Likewise: one change of c_z, across a, and both halves of each older prediction; what makes up for
   them is the newest. */
static void phase_basis(const fit *f, const double *t, size_t n, double *basis) {
    enum { STATE = 2, OLDER = 4 };
    const size_t terms = fit_terms(f, n), unknowns = fit_unknown_count(f, n);
    const blk newest = blk_inverse(prediction_of_noise(f, t, n, t[n]));
    marginal m;
    process_marginal(f->process, t[n], &m);
    const double size = hypot(m.a[1] * f->unit[0], m.a[0] * f->unit[1]);
    const blk across = {1, 2, {-m.a[1] / size, m.a[0] / size}};
    const blk answer = blk_mul(across, blk_mul(noise_along_flow(f->process, t[n], t[n]), newest));
    for (size_t h = 0; h < 2; h++) {
        basis[h * unknowns] = across.v[h];
        basis[(STATE + h) * unknowns] = -answer.v[h];
    }
    for (size_t k = 0; k + 2 < terms; k++) {
        const blk same = blk_mul(prediction_of_noise(f, t, n, t[n - 1 - k]), newest);
        for (size_t h = 0; h < 2; h++) {
            const size_t j = 1 + 2 * k + h;
            basis[(OLDER + 2 * k + h) * unknowns + j] = 1;
            for (size_t i = 0; i < 2; i++) basis[(STATE + i) * unknowns + j] = -same.v[2 * h + i];
        }
    }
}

/* Weights that steps share are counted in units of each one's reach. */
static double unit_of_unknowns(const fit *f, const double *t, size_t n) {
    return fit_shares(f, n) ? fit_reach(f, t, n) : 1;
}

size_t fit_basis(const fit *f, const double *t, size_t n, double basis[FIT_COLUMNS * FIT_COLUMNS]) {
    const size_t unknowns = fit_unknown_count(f, n);
    const double unit = unit_of_unknowns(f, t, n);
    memset(basis, 0, FIT_COLUMNS * FIT_COLUMNS * sizeof *basis);
    if (fit_order(f))
        fit_order_basis(f, t, n, basis);
    else if (consistent(f))
        (phase(f) ? phase_basis : scalar_basis)(f, t, n, basis);
    else
        for (size_t k = 0; k < unknowns; k++) basis[k * unknowns + k] = 1 / unit_of(f, k);
    for (size_t k = 0; k < fit_columns(f, n) * unknowns; k++) basis[k] *= unit;
    return unknowns;
}

/* Each unknown has columns of its own: one, or under consistency, in phase space, the first has the
   state's two. */
void fit_unknowns(const fit *f, const double *t, size_t n, const double *c, double *z) {
    double base[FIT_NUMBERS], basis[FIT_COLUMNS * FIT_COLUMNS];
    const size_t columns = fit_columns(f, n), unknowns = fit_basis(f, t, n, basis);
    const size_t first = columns - unknowns, pair = phase(f) && consistent(f);
    const double unit = unit_of_unknowns(f, t, n);
    fit_base(f, t, n, base);
    for (size_t i = 0; i < f->components; i++)
        for (size_t j = 0; j < unknowns; j++) {
            double sum = 0;
            for (size_t k = j < pair ? 0 : first + j; k < (j < pair ? 2 : first + j + 1); k++) {
                const double seen = unit_of(f, k), part = basis[k * unknowns + j] * seen;
                sum += (c[i * columns + k] - base[i * columns + k]) / f->unit[i] * seen * part;
            }
            z[i * unknowns + j] = sum / (unit * unit);
        }
}
