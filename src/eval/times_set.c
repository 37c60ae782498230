/* Settings of times: one table, the grid, and the priors that are to be compared. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/likelihood_set.h"
#include "eval/times_set.h"
#include "run/start.h"

const opt_row times_options[] = {
    {"process", OPT_TEXT, NULL, 0, 0, NULL, "instead of the model's"},
    {"t_start", OPT_REAL, NULL, 0, 1, NULL, "last time of the grid"},
    {"t_end", OPT_REAL, NULL, 0, 1, NULL, "first time of the grid, eps"},
    {"points", OPT_INT, "40", 3, TIMES_MAX, NULL, "times, even in log-SNR"},
    {"times", OPT_LIST, NULL, 0, 1, NULL, "the grid itself"},
    {"prior_draws", OPT_INT, "4", 1, 4096, NULL, "of x_T for each image, where priors are"},
    {"seed", OPT_INT, "0", 0, 9e15, NULL, "of all random numbers"},
    {0},
};

/* ---- times ----------------------------------------------------------------------------------- */

static dfl_status reserve(times_study *s, size_t n) {
    s->t = mem_array(n, sizeof *s->t);
    s->depth = mem_array(n, sizeof *s->depth);
    return s->t && s->depth ? DFL_OK : fail_memory();
}

/* The nearest time that a network of integer times takes. */
static double snapped(const netform *form, double t) {
    return (nearbyint(form->scale * t + form->offset) - form->offset) / form->scale;
}

/* Even in log(b/a). Of integer times those that are nearest, each once. */
static dfl_status even_times(times_study *s, double eps, double T) {
    const process *p = s->net.process;
    const card *c = &s->model->card;
    const size_t n = (size_t)opt_int(&s->options, "points");
    const double lo = log(process_at(p, eps).rho), hi = log(process_at(p, T).rho);
    TRY(reserve(s, n));
    for (size_t j = 0; j < n; j++) {
        const double u = lo + (hi - lo) * (double)j / (double)(n - 1);
        double t = j == 0 ? eps : j == n - 1 ? T : process_time_of_rho(p, exp(u));
        if (likelihood_whole_times(c)) t = fmin(fmax(snapped(&c->form, t), eps), T);
        if (s->m == 0 || t > s->t[s->m - 1]) s->t[s->m++] = t;
    }
    return DFL_OK;
}

static dfl_status given_times(times_study *s, const opt_value *list) {
    const opt_value *const nothing = opt_get(&s->options, "t_start");
    if (nothing->given || opt_get(&s->options, "t_end")->given ||
        opt_get(&s->options, "points")->given)
        return fail(DFL_E_COMBINATION,
                    "times are the whole grid: points, t_start and t_end have no meaning beside");
    TRY(reserve(s, list->nlist));
    memcpy(s->t, list->list, list->nlist * sizeof *s->t);
    sort_reals(s->t, list->nlist);
    s->m = list->nlist;
    for (size_t j = 1; j < s->m; j++)
        if (!(s->t[j] > s->t[j - 1]))
            return fail(DFL_E_ARG, "times: %s is there twice", real_text(s->t[j]).s);
    /* the ends are what the model goes from and to */
    double end;
    const opt_value last = {.set = true, .number = s->t[s->m - 1]};
    const opt_value first = {.set = true, .number = s->t[0]};
    dfl_status status = denoiser_start(&s->net, &last, &end);
    if (status == DFL_OK && s->m > 1) status = denoiser_end(&s->net, &first, s->t[s->m - 1], &end);
    return status == DFL_OK ? DFL_OK : fail_in(status, "times");
}

static dfl_status set_times(times_study *s) {
    const opts *o = &s->options;
    const opt_value *list = opt_get(o, "times");
    double T, eps;
    if (list->set) {
        TRY(given_times(s, list));
    } else {
        TRY(denoiser_start(&s->net, opt_get(o, "t_start"), &T));
        TRY(denoiser_end(&s->net, opt_get(o, "t_end"), T, &eps));
        TRY(even_times(s, eps, T));
    }
    if (s->m < 3 || s->m > TIMES_MAX)
        return fail(DFL_E_RANGE, "%zu times: a curve over T needs 3 to %d of them", s->m,
                    TIMES_MAX);
    for (size_t j = 0; j < s->m; j++) s->depth[j] = log(process_at(s->net.process, s->t[j]).rho);
    return DFL_OK;
}

/* ---- what answers ---------------------------------------------------------------------------- */

static dfl_status set_evaluator(times_study *s) {
    bound *const b = &s->evaluator;
    b->net = &s->net;
    b->levels = s->data->bytes != NULL;
    memcpy(b->range, s->model->card.range, sizeof b->range);
    b->seed = (uint64_t)opt_int(&s->options, "seed");
    b->t = s->t;
    b->S = (int)s->m;
    return bound_init(b);
}

static dfl_status check_model(const dfl_model *model) {
    if (!model->guided && model->classifier_guidance == 0) return DFL_OK;
    return fail(
        DFL_E_COMBINATION,
        "a guided prediction aims at another law than that of the data, and the bound on the "
        "data says nothing about where such a run should begin; take the model unguided");
}

static dfl_status read_prior(times_study *s, const char *path) {
    times_prior *const p = &s->prior[s->npriors];
    double a, b;
    p->path = path;
    TRY(start_prior(&s->model->card, path, &p->clean));
    s->npriors++;
    prior_state(p->clean, &a, &b);
    if (a != 1 || b != 0)
        return fail(DFL_E_COMBINATION,
                    "%s: a density of states with a=%.6g, b=%.6g alone; a curve over T needs one "
                    "that was fitted to clean data",
                    path, a, b);
    return prior_digest(path, p->digest);
}

dfl_status times_configure(times_study *s, const times_wish *wish) {
    TRY(check_model(s->model));
    TRY(opts_parse_words("times", times_options, wish->spec, &s->options));
    s->draws = (size_t)opt_int(&s->options, "prior_draws");
    TRY(denoiser_new(s->model, opt_text(&s->options, "process"), s->batch, true, &s->net));
    TRY(set_times(s));
    TRY(set_evaluator(s));
    if (wish->npriors > TIMES_PRIORS_MAX)
        return fail(DFL_E_RANGE, "%zu priors: at most %d are compared", wish->npriors,
                    TIMES_PRIORS_MAX);
    for (size_t k = 0; k < wish->npriors; k++) TRY(read_prior(s, wish->priors[k]));
    return DFL_OK;
}
