/* Dormand and Prince's embedded pair of orders 5 and 4 (J. Comput. Appl. Math. 6, 1980), first same
 * as last, one sample at a time.
 *
 *   k_i = f(u + c_i h, z + h sum_j a_ij k_j),   z' = z + h sum_j a_7j k_j,   k_7 is the next k_1
 *   E^2 = mean over the sample of (h sum_i e_i k_i / (atol + rtol max(|z|, |z'|)))^2
 *
 * A step is accepted if E <= 1. The next is h multiplied by 0.9 E^-0.17 E_before^0.04, at least 0.2
 * and at most 10 times (the PI controller of Hairer, Norsett and Wanner, Solving ordinary
 * differential equations I, section II.4, with beta = 0.04); after a rejection h never grows, and a
 * rejected step shrinks by 0.9 E^-0.17 alone. The first step is theirs, too: it costs one
 * evaluation. Six evaluations per attempt. */
#include "study/ode.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double nodes[ODE_STAGES] = {0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1};

static const double weights[ODE_STAGES][ODE_STAGES - 1] = {
    {0},
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84},
};

/* Fifth order minus fourth. */
static const double errors[ODE_STAGES] = {71.0 / 57600,      0,          -71.0 / 16695, 71.0 / 1920,
                                          -17253.0 / 339200, 22.0 / 525, -1.0 / 40};

static const double safety = 0.9, beta = 0.04, shrink = 0.2, grow = 10, error_floor = 1e-4;

void ode45_begin(const dfl_ode *ode, ode_lane *lane) {
    lane->stage = 0;
    lane->last = lane->rejected = false;
    lane->u = ode->u[0];
    lane->h = 0;
    lane->error = error_floor;
    lane->nfe = 0;
}

/* Root mean square of x in units of the tolerance at |z|. */
static double norm(const dfl_ode *ode, const double *x, const double *z) {
    double sum = 0;
    for (size_t i = 0; i < ode->n; i++) {
        const double e = x[i] / (ode->atol + ode->rtol * fabs(z[i]));
        sum += e * e;
    }
    return sqrt(sum / (double)ode->n);
}

/* A length such that an Euler step changes the state by a hundredth of it. */
static void choose_probe(const dfl_ode *ode, ode_lane *lane) {
    const double d0 = norm(ode, lane->z, lane->z), d1 = norm(ode, lane->k[0], lane->z);
    const double way = ode->u[1] - ode->u[0];
    const double length = d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1;
    lane->h = copysign(fmin(length, fabs(way)), way);
}

/* From both slopes, a length at which the error of order 5 is about 0.01 of the tolerance. */
static void choose_first(const dfl_ode *ode, ode_lane *lane) {
    for (size_t i = 0; i < ode->n; i++) ode->scratch[i] = lane->k[1][i] - lane->k[0][i];
    const double d1 = norm(ode, lane->k[0], lane->z);
    const double d2 = norm(ode, ode->scratch, lane->z) / fabs(lane->h);
    const double steep = fmax(d1, d2), probe = fabs(lane->h);
    const double length = steep <= 1e-15 ? fmax(1e-6, probe * 1e-3) : pow(0.01 / steep, 0.2);
    lane->h = copysign(fmin(100 * probe, length), lane->h);
}

/* The step in progress ends at t_end exactly, if it would end there or almost. */
static void trim(const dfl_ode *ode, ode_lane *lane) {
    const double left = ode->u[1] - lane->u;
    lane->last = fabs(1.01 * lane->h) >= fabs(left);
    if (lane->last) lane->h = left;
}

double ode45_state(const dfl_ode *ode, ode_lane *lane) {
    const int s = lane->stage;
    const bool probe = s == ODE_PROBE;
    const double c = probe ? 1 : nodes[s];
    memcpy(lane->w, lane->z, ode->n * sizeof *lane->w);
    for (int j = 0; j < (probe ? 1 : s); j++) {
        const double a = lane->h * (probe ? 1 : weights[s][j]);
        if (a == 0) continue;
        for (size_t i = 0; i < ode->n; i++) lane->w[i] += a * lane->k[j][i];
    }
    double t = flow_time(&ode->flow, lane->u + c * lane->h);
    if (c == 0) t = ode->t[0]; /* asked once, at the start */
    if (!probe && lane->last && c == 1) t = ode->t[1];
    return fmin(fmax(t, fmin(ode->t[0], ode->t[1])), fmax(ode->t[0], ode->t[1]));
}

dfl_status ode45_ask(dfl_ode *ode, ode_lane *lane) {
    return flow_evaluate(&ode->flow, ode45_state(ode, lane), &lane->at);
}

/* Error of the attempt in units of the tolerance. */
static double attempt_error(const dfl_ode *ode, const ode_lane *lane) {
    double sum = 0;
    for (size_t i = 0; i < ode->n; i++) {
        double e = 0;
        for (int s = 0; s < ODE_STAGES; s++) e += errors[s] * lane->k[s][i];
        const double size = fmax(fabs(lane->z[i]), fabs(lane->w[i]));
        e *= lane->h / (ode->atol + ode->rtol * size);
        sum += e * e;
    }
    const double error = sqrt(sum / (double)ode->n);
    return isfinite(error) ? error : INFINITY;
}

static void accept(ode_lane *lane, double error) {
    double *const slope = lane->k[0], *const state = lane->z;
    const double now = pow(error, 0.2 - 0.75 * beta), before = pow(lane->error, beta);
    double factor = error > 0 ? safety * before / now : grow;
    factor = fmin(fmax(factor, shrink), lane->rejected ? 1 : grow);
    lane->u += lane->h;
    lane->h *= factor;
    lane->error = fmax(error, error_floor);
    lane->rejected = false;
    lane->z = lane->w;
    lane->w = state;
    lane->k[0] = lane->k[ODE_STAGES - 1];
    lane->k[ODE_STAGES - 1] = slope;
}

static dfl_status check_going(const dfl_ode *ode, const ode_lane *lane) {
    const double t = flow_time(&ode->flow, lane->u);
    if (fabs(lane->h) < 16 * DBL_EPSILON * fmax(fabs(lane->u), 1))
        return fail(DFL_E_NONFINITE,
                    "sample %llu: steps at t = %.6g have become too small to be taken; loosen rtol "
                    "and atol",
                    (unsigned long long)lane->sample, t);
    if (lane->nfe + ODE_STAGES - 1 > ode->max_nfe)
        return fail(DFL_E_RANGE,
                    "sample %llu: max_nfe=%zu evaluations took it to t = %.6g only; loosen rtol "
                    "and atol, or raise max_nfe",
                    (unsigned long long)lane->sample, ode->max_nfe, t);
    return DFL_OK;
}

static dfl_status end_attempt(const dfl_ode *ode, ode_lane *lane, bool *moved, bool *done) {
    const double error = attempt_error(ode, lane);
    *moved = error <= 1;
    *done = *moved && lane->last;
    if (*moved) {
        accept(lane, error);
    } else {
        lane->h *= fmax(shrink, safety * pow(error, -(0.2 - 0.75 * beta)));
        lane->rejected = true;
    }
    if (*done) return DFL_OK;
    TRY(check_going(ode, lane));
    trim(ode, lane);
    lane->stage = 1;
    return DFL_OK;
}

double *ode45_slope(const ode_lane *lane) {
    return lane->k[lane->stage == ODE_PROBE ? 1 : lane->stage];
}

dfl_status ode45_take(dfl_ode *ode, ode_lane *lane, bool *moved, bool *done) {
    const int s = lane->stage;
    lane->nfe++;
    *moved = *done = false;
    if (s == ODE_STAGES - 1) return end_attempt(ode, lane, moved, done);
    if (s == 0) {
        choose_probe(ode, lane);
        lane->stage = ODE_PROBE;
    } else if (s == ODE_PROBE) {
        choose_first(ode, lane);
        TRY(check_going(ode, lane));
        trim(ode, lane);
        lane->stage = 1;
    } else {
        lane->stage = s + 1;
    }
    return DFL_OK;
}

dfl_status ode45_answer(dfl_ode *ode, ode_lane *lane, const double *y, bool *moved, bool *done) {
    const int from = ode->flow.scratch.components;
    double *const k = ode45_slope(lane);
    ode_apply(lane->at.on_z, lane->w, from, ode->dim, false, k);
    ode_apply(lane->at.on_y, y, from, ode->dim, true, k);
    return ode45_take(ode, lane, moved, done);
}
