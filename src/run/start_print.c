/* The mismatch meter: how far the start in use is from the law at T, measured and told. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "base/json.h"
#include "run/start.h"

/* Above either, a start from plain noise shows: the doctor's measure of signal, and nats. */
static const double signal_max = 0.05, nats_max = 2;

/* ---- measuring ------------------------------------------------------------------------------- */

/* Plain noise, against the moments that are known: in full, of the card, or the range alone, which
   gives an upper end only. */
static dfl_status measure_noise(start_law *s) {
    const card *const c = s->card;
    data_spread data = {.d = s->d, .var = 0};
    double *lam = NULL;
    if (s->mean && s->d <= START_DENSE_MAX) {
        lam = mem_array(s->d, sizeof *lam);
        double *const copy = mem_array(mem_product(s->d, s->d, 1), sizeof *copy);
        dfl_status status = lam && copy ? DFL_OK : fail_memory();
        if (status == DFL_OK) memcpy(copy, s->cov, s->d * s->d * sizeof *copy);
        if (status == DFL_OK) status = dense_eigen(s->d, copy, false, lam);
        free(copy);
        if (status != DFL_OK) {
            free(lam);
            return status;
        }
        for (size_t i = 0; i < s->d; i++) {
            lam[i] = fmax(lam[i], 0);
            data.mean_squares += s->mean[i] * s->mean[i];
        }
        data.lam = lam;
    } else if (c->has_moments) {
        s->source = "card";
        data.mean_squares = (double)s->d * c->mean * c->mean;
        data.var = c->std * c->std;
    } else {
        data.mean_squares = (double)s->d * s->size * s->size;
    }
    s->off = mismatch_noise(&data, s->a, s->b, s->scale);
    if (!data.lam && !c->has_moments) s->off.kl_low = s->off.w2_low = NAN;
    free(lam);
    return DFL_OK;
}

/* Mean and covariance of the start density: of the prior at T, or of the map's image of noise. */
static dfl_status moments_in_use(const start_law *s, double *mean, double *cov) {
    if (!s->flow) return prior_moments(s->at, mean, cov);
    const double v = s->scale1 * s->scale1;
    const dense_product square = {s->d, s->d, s->d, false, true, v, 0};
    memcpy(mean, s->shift, s->d * sizeof *mean);
    return dense_multiply(&square, s->matrix, s->matrix, cov);
}

/* Against the Gaussian with the data's moments at T. The divergence is a lower end only if the start
   is Gaussian itself: then KL(p_T || q) = KL(p_T || that) + KL(that || q). */
static dfl_status measure_own(start_law *s) {
    const size_t d = s->d, square = mem_product(d, d, 1);
    double *const mean = mem_array(2 * d, sizeof *mean);
    double *const cov = mem_array(square, sizeof *cov), *const here =
                                                            mem_array(square, sizeof *cov);
    dfl_status status = mean && cov && here ? moments_in_use(s, mean, cov) : fail_memory();
    double kl = NAN, w2 = NAN;
    for (size_t i = 0; i < square && status == DFL_OK; i++)
        here[i] = s->a * s->a * s->cov[i] + (i % (d + 1) == 0 ? s->b * s->b : 0);
    for (size_t i = 0; i < d && status == DFL_OK; i++) mean[d + i] = s->a * s->mean[i];
    const normal_law data = {mean + d, here}, start = {mean, cov};
    if (status == DFL_OK) status = mismatch_normals(d, &data, &start, &kl, &w2);
    if (status == DFL_OK) {
        s->off.w2_low = w2;
        if (s->flow || prior_components(s->at) == 1) s->off.kl_low = kl;
    }
    free(mean);
    free(cov);
    free(here);
    return status;
}

static void find_gate(start_law *s) {
    const gate_row *rows;
    const size_t n = prior_gate(s->clean, &rows);
    for (size_t i = 0; i < n && !s->gate; i++)
        if (fabs(rows[i].a - s->a) < 1e-3 && fabs(rows[i].b - s->b) < 1e-3) {
            s->gate_row = rows[i];
            s->gate = &s->gate_row;
        }
}

static dfl_status measure(start_law *s) {
    s->off = (mismatch){NAN, NAN, NAN, NAN};
    s->plain = s->plain_error = NAN;
    if (s->components != 1) return DFL_OK;
    if (!start_is_own(s)) return measure_noise(s);
    if (s->at) {
        find_gate(s);
        TRY(mismatch_sampled(s->at, s->scale, START_TRIES, &s->plain, &s->plain_error));
    }
    /* a law of class maps depends on the labels that will be asked for */
    const bool has_moments = s->flow ? s->maps == 1 : prior_components(s->at) > 0;
    return has_moments && s->mean && s->d <= START_DENSE_MAX ? measure_own(s) : DFL_OK;
}

dfl_status start_measure(start_law *s) {
    if (!s->measured) TRY(measure(s));
    s->measured = true;
    return DFL_OK;
}

/* ---- telling --------------------------------------------------------------------------------- */

static const char *law_of(const start_law *s) {
    return s->flow ? "flow" : s->at ? "prior" : "normal";
}

dfl_status start_json(start_law *s, text *out) {
    TRY(start_measure(s));
    text_add(out, "{\"law\": \"%s\"", law_of(s));
    json_add_next_real(out, "t", s->t);
    json_add_next_real(out, "a", s->a);
    json_add_next_real(out, "b", s->b);
    json_add_next_real(out, "scale", s->scale);
    if (s->flow) json_add_next_real(out, "t_map", s->t1);
    if (s->clean) {
        text_add(out, ", \"kind\": ");
        json_add_text(out, prior_kind(s->clean));
        text_add(out, ", \"components\": %zu", prior_components(s->clean));
    }
    text_add(out, ", \"moments\": %s%s%s", s->source ? "\"" : "", s->source ? s->source : "null",
             s->source ? "\"" : "");
    json_add_next_real(out, "kl_low", s->off.kl_low);
    json_add_next_real(out, "kl_high", s->off.kl_high);
    json_add_next_real(out, "w2_low", s->off.w2_low);
    json_add_next_real(out, "w2_high", s->off.w2_high);
    json_add_next_real(out, "kl_plain", s->plain);
    json_add_next_real(out, "kl_plain_error", s->plain_error);
    json_add_next_real(out, "gate_gain", s->gate ? s->gate->gain : NAN);
    json_add_next_real(out, "gate_error", s->gate ? s->gate->error : NAN);
    text_add(out, "}");
    return DFL_OK;
}

/* "from 1.2 to 3", "at least 1.2", "at most 3" or "not known" */
static void add_range(text *out, double low, double high, const char *unit) {
    if (isfinite(low) && isfinite(high))
        text_add(out, "%.3g to %.3g%s", low, high, unit);
    else if (isfinite(low))
        text_add(out, "at least %.3g%s", low, unit);
    else if (isfinite(high))
        text_add(out, "at most %.3g%s", high, unit);
    else
        text_add(out, "not known");
}

static void add_law(const start_law *s, text *out) {
    if (s->flow)
        text_add(out, "the Gaussian flow map%s from t = %.6g", s->maps > 1 ? " of its class" : "",
                 s->t1);
    else if (s->at && prior_components(s->at) == 0)
        text_add(out, "a normalising flow");
    else if (s->at)
        text_add(out, "a prior of kind %s, %zu component%s", prior_kind(s->at),
                 prior_components(s->at), prior_components(s->at) == 1 ? "" : "s");
    else
        text_add(out, "plain noise");
}

static void add_distances(const start_law *s, text *out) {
    text_add(out, "KL ");
    add_range(out, s->off.kl_low, s->off.kl_high, " nats");
    text_add(out, ", W2 ");
    add_range(out, s->off.w2_low, s->off.w2_high, "");
}

dfl_status start_print(start_law *s, text *out) {
    TRY(start_measure(s));
    text_add(out, "start at t = %.6g (a = %.3g, b = %.3g) from ", s->t, s->a, s->b);
    add_law(s, out);
    text_add(out, "; off the data there: ");
    add_distances(s, out);
    if (s->source) text_add(out, ", from moments of %s", s->source);
    if (s->at)
        text_add(out, "; plain noise would be off by KL %.3g +- %.2g nats if the prior were true",
                 s->plain, s->plain_error);
    if (s->gate)
        text_add(out, ", of which held-out data gained %.3g +- %.2g", s->gate->gain,
                 s->gate->error);
    text_add(out, "\n");
    return DFL_OK;
}

dfl_status start_warn(start_law *s, text *out) {
    const double signal = s->a / s->b * s->size;
    TRY(start_measure(s));
    if (s->components != 1) return DFL_OK;
    if (s->gate && !gate_passed(s->gate))
        text_add(
            out,
            "the prior failed its gate at this time (gain %.3g +- %.2g nats on held-out data): "
            "plain noise is the better start\n",
            s->gate->gain, s->gate->error);
    if (start_is_own(s) || !(signal > signal_max || s->off.kl_low > nats_max)) return DFL_OK;
    text_add(out, "at t = %.6g data of size %.3g stand out of plain noise, a/b = %.3g: KL ", s->t,
             s->size, s->a / s->b);
    add_range(out, s->off.kl_low, s->off.kl_high, " nats");
    text_add(out, " off; give a prior, or start nearer to t = 1\n");
    return DFL_OK;
}
