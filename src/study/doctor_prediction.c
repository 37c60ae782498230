/* Whether the output is what prediction_type says. Two probes tell:
 *
 *   noise  at the start x is noise, and y = cx x_0 + cn n with an x_0 that knows nothing of n:
 *          <y, n>/<n, n> is cn, and what is left of y is no larger than |cx| times the data
 *   fit    conditional expectations obey E[x_0' x_0] = E[x_0'^2], with x_0' = E[x_0 | x], and the same
 *          for n. x_0 are samples from a short run of the model itself, so a network that is taken
 *          for another fails here or there
 *
 * In phase space (doctor_phase.c) noise has two components, and there is a third probe. */
#include <math.h>

#include "study/doctor_probe.h"

/* ---- pure noise -------------------------------------------------------------------------------- */

/* The type that the output looks like, for the message. */
static const char *looks_like(double c, double left, double b) {
    if (fabs(c - 1) < 0.25) return left < 0.25 ? "epsilon" : "epsilon or flow_prediction";
    if (fabs(c + 1 / b) < 0.25 / b) return "score";
    return fabs(c) < 0.25 ? "sample or v_prediction" : "none of the known types";
}

static dfl_status check_scalar_noise(probe *p, double t) {
    const size_t all = p->n * p->dim;
    const scalar_at at = process_at(p->process, t);
    const double b = p->process->row->unit_signal ? at.rho : at.b;
    const double cx = fabs(p->gives.cx[0]), cn = p->gives.cn[0];
    double both = 0, square = 0, left = 0;
    for (size_t i = 0; i < all; i++) {
        both += p->y[i] * p->noise[i];
        square += p->noise[i] * p->noise[i];
    }
    const double c = both / square;
    for (size_t i = 0; i < all; i++)
        left += (p->y[i] - c * p->noise[i]) * (p->y[i] - c * p->noise[i]);
    left = sqrt(left / (double)all);
    const double size = start_data_size(&p->model->card);
    const double around = 0.25 * (fabs(cn) + cx * size);
    const double most = 0.25 * fabs(cn) + 1.25 * cx * size;
    if (fabs(c - cn) <= around && left <= most) return DFL_OK;
    return doctor_find(
        p->doctor, CHECK_PREDICTION, DFL_ERROR,
        "for pure noise at t = %.6g the output should be %.3g times the noise, with "
        "at most %.3g beside it; it is %.3g times the noise with %.3g beside it\nthe "
        "output looks like %s; correct prediction_type, or the process and time_map "
        "if the type is right",
        t, cn, most, c, left, looks_like(c, left, b));
}

dfl_status doctor_check_noise(probe *p, double t, bool *go) {
    const bool phase = probe_in_phase(p);
    const double rho = phase ? doctor_phase_rho(p->process, t) : process_at(p->process, t).rho;
    probe_start(p, t);
    TRY(probe_ask(p, t, NULL, go));
    p->doctor->ran[CHECK_OUTPUT] = !p->no_plan;
    if (!*go || rho < 10) return DFL_OK;
    p->doctor->ran[CHECK_PREDICTION] = true;
    return phase ? doctor_phase_noise(p, t) : check_scalar_noise(p, t);
}

/* ---- samples in noise -------------------------------------------------------------------------- */

void probe_slope_add(probe_slope *s, double guess, double truth) {
    s->n += 1;
    s->guess += guess;
    s->truth += truth;
    s->square += guess * guess;
    s->both += guess * truth;
}

double probe_slope_of(const probe_slope *s, double *size) {
    const double square = fmax(s->square - s->guess * s->guess / s->n, 0);
    *size = sqrt(square / s->n);
    return (s->both - s->guess * s->truth / s->n) / square;
}

static void scalar_fit(const probe *p, double t, probe_fit *fit) {
    const scalar_at at = process_at(p->process, t);
    probe_slope clean = {0}, noise = {0};
    for (size_t i = 0; i < p->n * p->dim; i++) {
        probe_slope_add(&clean, p->x0[i], p->clean[i]);
        probe_slope_add(&noise, (p->x[i] - at.a * p->x0[i]) / at.b, p->noise[i]);
    }
    double size;
    fit->clean = probe_slope_of(&clean, &size);
    fit->noise = probe_slope_of(&noise, &fit->size);
}

static void keep_worst(double *worst, double slope) {
    if (!(fabs(log(slope)) <= fabs(log(*worst)))) *worst = slope;
}

static dfl_status check_slopes(probe *p, double t, bool *go) {
    probe_fit fit;
    if (probe_in_phase(p))
        doctor_phase_fit(p, t, &fit);
    else
        scalar_fit(p, t, &fit);
    keep_worst(&p->doctor->clean_slope, fit.clean);
    if (fit.size >= 0.3) keep_worst(&p->doctor->noise_slope, fit.noise);
    const double off = fmax(fabs(log(fit.clean)), fit.size < 0.3 ? 0 : fabs(log(fit.noise)));
    const bool wrong = !(off <= log(1.6)) || fit.size > 1.5;
    if (!wrong && off <= log(1.25)) return DFL_OK;
    *go = false;
    return doctor_find(p->doctor, CHECK_PREDICTION, wrong ? DFL_ERROR : DFL_WARNING,
                       "at t = %.6g the predictions do not fit what was put in: slope %.2g of the "
                       "clean data and %.2g of the noise on their predictions, where 1 is right "
                       "(noise predicted with size %.2g)\ncompare prediction_type, process and "
                       "time_map of the card with how the network was trained",
                       t, fit.clean, fit.noise, fit.size);
}

double doctor_time_of_rho(const probe *p, double rho) {
    return probe_time(p, probe_in_phase(p) ? doctor_phase_time(p->process, rho)
                                           : process_time_of_rho(p->process, rho));
}

/* In phase space first what no sample is needed for; there the run that made them ends on noise of a
   size that tells how far they are good, and with them slopes. */
dfl_status doctor_check_fit(probe *p, double std, bool *go) {
    const bool phase = probe_in_phase(p);
    const double left = phase ? doctor_phase_rho(p->process, probe_time(p, 0)) : 0;
    const double rho[] = {NAN, std, fmin(std, fmax(0.2 * std, 3 * left))};
    for (int k = phase ? 0 : 1; k < 3 && *go; k++) {
        const double t =
            k > 0 ? doctor_time_of_rho(p, rho[k]) : probe_time(p, doctor_phase_early(p->process));
        probe_mix(p, t);
        TRY(probe_ask(p, t, NULL, go));
        if (*go && phase) TRY(doctor_phase_known(p, t, go));
        if (*go && rho[k] >= 2 * left) TRY(check_slopes(p, t, go));
    }
    return DFL_OK;
}
