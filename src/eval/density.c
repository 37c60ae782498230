/* Start densities; see the header. */
#include "eval/density.h"

#include <math.h>

static double square(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static double normalisation(const density *nu) {
    return -(double)nu->dim * (log(nu->scale) + LOG_2PI / 2);
}

static dfl_status standard_logp(const density *nu, const double *x, size_t n, int64_t label,
                                double *out) {
    (void)label;
    for (size_t i = 0; i < n; i++)
        out[i] = normalisation(nu) - square(x + i * nu->dim, nu->dim) / (2 * nu->scale * nu->scale);
    return DFL_OK;
}

static double standard_cross(const density *nu, const double *x0, double a, double b) {
    const double moment = a * a * square(x0, nu->dim) + b * b * (double)nu->dim;
    return normalisation(nu) - moment / (2 * nu->scale * nu->scale);
}

void density_standard(const process *p, double t, size_t dim, density *out) {
    *out = (density){.kind = "standard",
                     .dim = dim,
                     .logp = standard_logp,
                     .cross = standard_cross,
                     .scale = process_prior(p, t).v[0]};
}

static dfl_status exact_logp(const density *nu, const double *x, size_t n, int64_t label,
                             double *out) {
    for (size_t i = 0; i < n; i++)
        TRY(mixture_log_density(nu->mix, &nu->at, x + i * nu->dim, label, out + i));
    return DFL_OK;
}

dfl_status density_exact(const dfl_model *model, const process *p, double t, density *out) {
    *out = (density){.kind = "exact", .dim = card_dim(&model->card), .logp = exact_logp};
    out->mix = mixture_in(model);
    if (!out->mix)
        return fail(DFL_E_COMBINATION,
                    "prior=exact: only an analytic mixture knows its density at t=%g; \"standard\" "
                    "is there for networks",
                    t);
    process_marginal(p, t, &out->at);
    return DFL_OK;
}

static dfl_status prior_density(const density *nu, const double *x, size_t n, int64_t label,
                                double *out) {
    const bool of_class = label >= 0 && label < prior_classes(nu->aux);
    return prior_logp_of(nu->aux, of_class ? label : -1, x, n, out);
}

void density_prior(const prior *at, density *out) {
    *out =
        (density){.kind = prior_kind(at), .dim = prior_dim(at), .logp = prior_density, .aux = at};
}
