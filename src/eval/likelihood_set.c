/* Settings of likelihoods: one table, and what is made of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/likelihood.h"
#include "eval/likelihood_set.h"
#include "grid/grid.h"

enum { EXACT_MOST = 64 }; /* dimensions in which the trace is exact by default */

const opt_row likelihood_options[] = {
    {"method", OPT_CHOICE, "flow", 0, 0, "flow|bound", "probability flow, or variational bound"},
    {"process", OPT_TEXT, NULL, 0, 0, NULL, "instead of the model's"},
    {"t_start", OPT_REAL, NULL, 0, 1, NULL, "T, where the start density stands"},
    {"prior", OPT_CHOICE, "standard", 0, 0, "standard|exact|file", "start density at T"},
    {"draws", OPT_INT, "1", 1, 4096, NULL, "repetitions that are averaged"},
    {"seed", OPT_INT, "0", 0, 9e15, NULL, "of all random numbers"},
    {"steps", OPT_INT, NULL, 1, 1e5, NULL, "flow: steps; bound: times"},
    {"t_end", OPT_REAL, NULL, 0, 1, NULL, "flow: eps, of the data; bound: t_1"},
    {"solver", OPT_CHOICE, "rk4", 0, 0, "rk4|heun|ode45", "flow: method"},
    {"form", OPT_CHOICE, "sigma", 0, 0, "sigma|t", "flow: variable of fixed steps"},
    {"trace", OPT_CHOICE, "auto", 0, 0, "exact|rademacher|gaussian|hadamard|auto", "flow: probes"},
    {"probes", OPT_INT, "1", 1, 1 << 16, NULL, "flow: number of probes"},
    {"derivative", OPT_CHOICE, "auto", 0, 0, "auto|central", "flow: of the network"},
    {"fd_step", OPT_REAL, "0.01", 1e-8, 1, NULL, "flow: central difference in units of b"},
    {"rtol", OPT_REAL, "1e-5", 1e-14, 1, NULL, "flow, ode45: relative tolerance"},
    {"atol", OPT_REAL, "1e-5", 1e-16, 1, NULL, "flow, ode45: absolute tolerance"},
    {"max_nfe", OPT_INT, "10000", 8, 1e9, NULL, "flow, ode45: slopes before an image is given up"},
    {"scaling", OPT_CHOICE, "255", 0, 0, "255|256", "flow: how levels became values"},
    {"grid", OPT_TEXT, "uniform", 0, 0, NULL, "bound: times"},
    {"variance", OPT_CHOICE, "be", 0, 0, "be|vq", "bound: of the reverse steps"},
    {"terms", OPT_INT, NULL, 1, 1e5, NULL, "bound: of its terms, an unbiased choice"},
    {"clip_denoised", OPT_BOOL, "0", 0, 0, NULL, "bound: predicted data clipped to the range"},
    {0},
};

/* ---- what cannot stand together -------------------------------------------------------------- */

static dfl_status check_given(const opts *o, bool flow) {
    for (int i = 0; i < o->n; i++) {
        const opt_row *option = o->v[i].row;
        const char *help = option->help;
        const bool others = flow ? strncmp(help, "bound:", 6) == 0
                                 : strncmp(help, "flow", 4) == 0 && !strstr(help, "; bound:");
        if (o->v[i].given && others)
            return fail(DFL_E_COMBINATION, "%s belongs to method \"%s\"; this is \"%s\"",
                        option->key, flow ? "bound" : "flow", flow ? "flow" : "bound");
    }
    const bool adaptive = opt_choice(o, "solver") == FLOW_ODE45;
    static const char *const of_steps[] = {"steps", "form"};
    static const char *const of_tolerance[] = {"rtol", "atol", "max_nfe"};
    for (size_t i = 0; flow && adaptive && i < 2; i++)
        if (opt_get(o, of_steps[i])->given)
            return fail(DFL_E_COMBINATION, "%s is for fixed steps; solver=ode45 chooses its own",
                        of_steps[i]);
    for (size_t i = 0; flow && !adaptive && i < 3; i++)
        if (opt_get(o, of_tolerance[i])->given)
            return fail(DFL_E_COMBINATION, "%s is for solver=ode45", of_tolerance[i]);
    return DFL_OK;
}

bool likelihood_whole_times(const card *c) {
    return c->form.time_dtype == NET_INT32 || c->form.time_dtype == NET_INT64;
}

/* Where a prior that was fitted at one time is good, unless another time was asked for. */
static dfl_status set_start(likelihood *l, const likelihood_wish *wish) {
    const char *spec = opt_text(&l->options, "process");
    opt_value asked = *opt_get(&l->options, "t_start");
    if (!asked.set && wish->prior) {
        TRY(start_time_of_prior(wish->prior, spec ? spec : l->model->card.process, &l->t_of_prior,
                                &asked.number));
        asked.set = l->t_of_prior;
    }
    return denoiser_start(&l->net, &asked, &l->T);
}

/* ---- flow ------------------------------------------------------------------------------------ */

static dfl_status set_probes(likelihood *l) {
    const opts *o = &l->options;
    const size_t dim = l->net.dim;
    const int choice = opt_choice(o, "trace");
    const bool found = choice > PROBE_HADAMARD, given = opt_get(o, "probes")->given;
    const bool exact = choice == PROBE_EXACT || (found && dim <= EXACT_MOST && !given);
    probes *const p = &l->along.probes;
    *p = (probes){.kind = exact   ? PROBE_EXACT
                          : found ? PROBE_RADEMACHER
                                  : (probe_kind)choice,
                  .dim = dim,
                  .count = exact ? dim : (size_t)opt_int(o, "probes"),
                  .seed = l->seed};
    if (exact && given)
        return fail(DFL_E_COMBINATION, "probes=%zu: an exact trace takes %zu, one a dimension",
                    (size_t)opt_int(o, "probes"), dim);
    if (p->kind == PROBE_HADAMARD && p->count > probe_most(dim))
        return fail(DFL_E_RANGE,
                    "probes=%zu: hadamard has %zu in %zu dimensions, and is exact then", p->count,
                    probe_most(dim), dim);
    if (mem_product(p->count, l->draws, 1) <= 1 << 28) return DFL_OK;
    return fail(DFL_E_RANGE, "draws=%zu times probes=%zu is above 2^28", l->draws, p->count);
}

static dfl_status set_flow(likelihood *l) {
    const opts *o = &l->options;
    if (likelihood_whole_times(&l->model->card))
        return fail(DFL_E_COMBINATION,
                    "the network takes integer times, and the flow needs real ones; method=bound "
                    "is for such networks");
    TRY(denoiser_end(&l->net, opt_get(o, "t_end"), l->T, &l->eps));
    TRY(set_probes(l));
    flow_logp *const f = &l->along;
    const opt_value *steps = opt_get(o, "steps");
    f->net = &l->net;
    f->nu = &l->nu;
    f->solver = (flow_solver)opt_choice(o, "solver");
    f->form = f->solver == FLOW_ODE45 ? FORM_UNIT : (flow_form)opt_choice(o, "form");
    f->steps = steps->set ? (size_t)steps->number : 50;
    f->rtol = opt_real(o, "rtol");
    f->atol = opt_real(o, "atol");
    f->max_nfe = (size_t)opt_int(o, "max_nfe");
    f->eps = l->eps;
    f->T = l->T;
    l->net.step = opt_real(o, "fd_step");
    return flow_logp_init(f);
}

/* ---- bound ----------------------------------------------------------------------------------- */

/* A grid's times as they rise from t_1 = t_end, or else those above 0 of one that ends there. As many
   as the table has, or 1000. */
static dfl_status set_times(likelihood *l) {
    const process *p = l->net.process;
    const netform *form = &l->model->card.form;
    const bool whole = likelihood_whole_times(&l->model->card),
               open = !opt_get(&l->options, "t_end")->set;
    const opt_value *steps = opt_get(&l->options, "steps");
    const double table = p->nknots ? (double)(p->nknots - 1) : 1000;
    const int count = steps->set ? (int)steps->number : (int)fmax(1, nearbyint(table * l->T));
    if (!open) TRY(denoiser_end(&l->net, opt_get(&l->options, "t_end"), l->T, &l->eps));
    if (!open && count < 2)
        return fail(DFL_E_RANGE, "steps=1: with t_end there are at least 2 times");
    const grid_wish wish = {.spec = opt_text(&l->options, "grid"),
                            .start = l->T,
                            .end = open ? 0 : l->eps,
                            .model_start = l->T,
                            .model_end = l->eps,
                            .steps = steps->set ? count - !open : 0,
                            .default_steps = count - !open,
                            .unit = whole ? 1 / form->scale : 0,
                            .origin = whole ? -form->offset / form->scale : 0};
    double *falling = NULL;
    int n = 0;
    TRY(grid_new(p, &wish, &falling, &n));
    const int from = falling[n] > 0 ? n : n - 1;
    l->times = mem_array((size_t)from + 1, sizeof *l->times);
    for (int i = 0; l->times && i <= from; i++) l->times[i] = falling[from - i];
    l->bound.S = from + 1;
    l->T = falling[0];
    free(falling);
    return l->times ? DFL_OK : fail_memory();
}

static dfl_status set_bound(likelihood *l) {
    const opts *o = &l->options;
    const opt_value *terms = opt_get(o, "terms");
    bound *const b = &l->bound;
    TRY(set_times(l));
    b->net = &l->net;
    b->nu = &l->nu;
    b->variance = (bound_variance)opt_choice(o, "variance");
    b->clip = opt_bool(o, "clip_denoised");
    b->levels = l->data->bytes != NULL;
    memcpy(b->range, l->range, sizeof b->range);
    b->seed = l->seed;
    b->t = l->times;
    b->terms = terms->set ? (int)terms->number : 0;
    if (b->terms > b->S - 1)
        return fail(DFL_E_RANGE, "terms=%d: %d times have %d terms between them", b->terms, b->S,
                    b->S - 1);
    if (mem_product((size_t)b->S, l->draws, 1) > 1 << 28)
        return fail(DFL_E_RANGE, "draws=%zu times steps=%d is above 2^28", l->draws, b->S);
    return bound_init(b);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void set_scaling(likelihood *l) {
    const bool fine = opt_choice(&l->options, "scaling") == 0;
    const double parts = fine ? 255 : 256, span = l->range[1] - l->range[0];
    l->scale = span / parts;
    l->offset = l->range[0] - (fine ? l->scale / 2 : 0);
    l->added_bits = l->data->bytes ? log2(parts / span) : 0;
}

enum { PRIOR_STANDARD, PRIOR_EXACT, PRIOR_FILE };

/* The density at T. What a sampler checks of a prior before it starts there is checked here, too. */
static dfl_status set_density(likelihood *l, const char *file) {
    const process *p = l->net.process;
    const card *c = &l->model->card;
    if (opt_choice(&l->options, "prior") == PRIOR_EXACT)
        return density_exact(l->model, p, l->T, &l->nu);
    const scalar_at at = process_at(p, l->T);
    const start_wish wish = {.prior = (char *)file};
    const start_place place = {.card = c,
                               .components = 1,
                               .t = l->T,
                               .a = at.a,
                               .b = at.b,
                               .scale = process_prior(p, l->T)};
    TRY(start_open(&wish, &place, &l->start));
    density_standard(p, l->T, l->net.dim, &l->nu);
    if (!file) return DFL_OK;
    density_prior(l->start->at, &l->nu);
    return prior_digest(file, l->prior_digest);
}

static dfl_status check_wish(const likelihood *l, const likelihood_wish *wish) {
    const bool file = opt_choice(&l->options, "prior") == PRIOR_FILE;
    if (file != (wish->prior != NULL))
        return fail(DFL_E_COMBINATION,
                    "prior=file goes with the file of a prior, and with no other");
    if (wish->latents && !l->flow)
        return fail(DFL_E_COMBINATION, "latents are states that the flow arrives at: method=flow");
    if (wish->latents && l->draws > 1)
        return fail(DFL_E_COMBINATION, "draws=%zu: latents are those of one", l->draws);
    return DFL_OK;
}

dfl_status likelihood_configure(likelihood *l, const likelihood_wish *wish) {
    opts *const o = &l->options;
    TRY(opts_parse_words("likelihood", likelihood_options, wish->spec, o));
    l->flow = opt_choice(o, "method") == 0;
    TRY(check_given(o, l->flow));
    l->draws = (size_t)opt_int(o, "draws");
    TRY(check_wish(l, wish));
    l->seed = (uint64_t)opt_int(o, "seed");
    memcpy(l->range, l->model->card.range, sizeof l->range);
    set_scaling(l);
    TRY(denoiser_new(l->model, opt_text(o, "process"), l->batch, opt_choice(o, "derivative") == 1,
                     &l->net));
    TRY(set_start(l, wish));
    TRY(l->flow ? set_flow(l) : set_bound(l));
    return set_density(l, wish->prior);
}
