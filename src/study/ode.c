/* Life of an adaptive integration: options, times, memory. */
#include "study/ode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const opt_row ode45_options[] = {
    {"rtol", OPT_REAL, "1e-5", 1e-14, 1, NULL, "tolerated error of a step, relative"},
    {"atol", OPT_REAL, "1e-5", 1e-16, 1, NULL, "and absolute; states are of order one"},
    {"max_nfe", OPT_INT, "10000", 8, 1e9, NULL, "evaluations per sample before it is given up"},
    {0},
};

static const family_row ode45 = {
    "ode45", "Dormand-Prince 5(4) on the probability flow, steps sample by sample",
    "J. Comput. Appl. Math. 6 (1980) 19", ode45_options};
static const family_row *const rows_of_family[] = {&ode45};
const family adaptive_family = {.singular = "adaptive solver", .rows = rows_of_family, .n = 1};

static const opt_row spec_options[] = {
    {"solver", OPT_TEXT, "ode45", 0, 0, NULL, "ode45 and its options"},
    {"process", OPT_TEXT, NULL, 0, 0, NULL, "instead of the model's; see the list of processes"},
    {"t_start", OPT_REAL, NULL, 0, 1, NULL, "first time; the model's t_max if not given"},
    {"t_end", OPT_REAL, NULL, 0, 1, NULL, "last time, above 0; the model's t_min if not given"},
    {"denoise", OPT_BOOL, "0", 0, 0, NULL, "land on x_0, from the last evaluation"},
    {0},
};

bool adaptive_is_named(const char *solver) {
    const size_t n = strcspn(solver, ":");
    for (size_t i = 0; i < adaptive_family.n; i++) {
        const char *name = adaptive_family.rows[i]->name;
        if (strlen(name) == n && memcmp(name, solver, n) == 0) return true;
    }
    return false;
}

static dfl_status set_times(dfl_ode *ode, const opts *spec) {
    static const char *const keys[] = {"t_start", "t_end"};
    const card *c = &ode->model->card;
    const double fallback[] = {fmin(c->t_max, ode->flow.process->t_hi), c->t_min};
    for (int i = 0; i < 2; i++) {
        ode->t[i] = opt_get(spec, keys[i])->set ? opt_real(spec, keys[i]) : fallback[i];
        TRY(process_check_time(ode->flow.process, keys[i], ode->t[i]));
        if (ode->t[i] > 0) ode->u[i] = flow_variable(&ode->flow, ode->t[i]);
        if (ode->t[i] <= 0 || !isfinite(ode->u[i]))
            return fail(DFL_E_RANGE,
                        "%s=%s: adaptive steps need a time with both signal and noise; choose "
                        "t_end above 0 (denoise=1 lands on x_0) and t_start below the end of the "
                        "signal",
                        keys[i], real_text(ode->t[i]).s);
    }
    if (ode->t[0] > c->t_max * (1 + 1e-12))
        return fail(DFL_E_RANGE,
                    "t_start=%.15g: this model was trained up to t = %.15g (t_max of its card)",
                    ode->t[0], c->t_max);
    if (ode->t[0] > ode->t[1]) return DFL_OK;
    return fail(DFL_E_RANGE, "t_start=%s must be above t_end=%s", real_text(ode->t[0]).s,
                real_text(ode->t[1]).s);
}

static dfl_status open_start(dfl_ode *ode, const char *process_text) {
    marginal m;
    process_marginal(ode->flow.process, ode->t[0], &m);
    const start_place at = {.card = &ode->model->card,
                            .process = process_text,
                            .components = ode->flow.scratch.components,
                            .t = ode->t[0],
                            .a = m.a[0],
                            .b = m.b[0],
                            .scale = process_prior(ode->flow.process, ode->t[0])};
    return start_open(&ode->set.start, &at, &ode->start);
}

static dfl_status configure(dfl_ode *ode, const opts *spec) {
    const char *asked = opt_text(spec, "process");
    const family_row *found;
    TRY(family_parse(&adaptive_family, opt_text(spec, "solver"), &found, &ode->options));
    ode->rtol = opt_real(&ode->options, "rtol");
    ode->atol = opt_real(&ode->options, "atol");
    ode->max_nfe = (size_t)opt_int(&ode->options, "max_nfe");
    ode->denoise = opt_bool(spec, "denoise");
    const card *c = &ode->model->card;
    TRY(flow_new(&ode->flow, asked ? asked : c->process, &c->form));
    TRY(set_times(ode, spec));
    flow_at at; /* what cannot be asked at the ends is refused now */
    for (int i = 0; i < 2; i++) TRY(flow_evaluate(&ode->flow, ode->t[i], &at));
    return open_start(ode, asked ? asked : c->process);
}

static dfl_status allocate(dfl_ode *ode) {
    const size_t batch = ode->set.batch, size = vec_size(ode->set.type);
    const size_t each = ODE_STAGES + 2; /* vectors of a lane */
    ode->lanes = mem_array(batch, sizeof *ode->lanes);
    ode->memory = mem_array(mem_product(batch, ode->n, each), sizeof *ode->memory);
    ode->scratch = mem_array(ode->n, sizeof *ode->scratch);
    ode->input = mem_array(mem_product(batch, ode->n, 1), size);
    ode->output = mem_array(mem_product(batch, ode->m, 1), size);
    ode->points = mem_array(batch, sizeof *ode->points);
    ode->samples = mem_array(batch, sizeof *ode->samples);
    ode->labels = mem_array(batch, sizeof *ode->labels);
    if (!ode->lanes || !ode->memory || !ode->scratch || !ode->input || !ode->output ||
        !ode->points || !ode->samples || !ode->labels)
        return fail_memory();
    for (size_t i = 0; i < batch; i++) {
        double *at = ode->memory + i * each * ode->n;
        ode->lanes[i].z = at;
        ode->lanes[i].w = at + ode->n;
        for (size_t s = 0; s < ODE_STAGES; s++) ode->lanes[i].k[s] = at + (s + 2) * ode->n;
    }
    return DFL_OK;
}

dfl_status dfl_ode_new(dfl_model *model, const char *spec, const char *options, dfl_ode **out) {
    if (!out) return fail(DFL_E_ARG, "dfl_ode_new: out is NULL");
    *out = NULL;
    if (!model) return fail(DFL_E_ARG, "dfl_ode_new: model is NULL");
    opts o;
    dfl_ode *ode = mem_array(1, sizeof *ode);
    if (!ode) return fail_memory();
    ode->model = model;
    dfl_status status = run_read_settings(options, &ode->set);
    if (status == DFL_OK) {
        status = opts_parse_words("adaptive integration", spec_options, spec ? spec : "", &o);
        if (status == DFL_OK) status = configure(ode, &o);
        opts_free(&o);
    }
    if (status == DFL_OK) {
        ode->dim = card_dim(&model->card);
        ode->n = ode->dim * (size_t)ode->flow.scratch.components;
        ode->m = ode->dim * (size_t)flow_output_components(&ode->flow);
        status = allocate(ode);
    }
    if (status == DFL_OK)
        *out = ode;
    else
        dfl_ode_free(ode);
    return status;
}

void dfl_ode_free(dfl_ode *ode) {
    if (!ode) return;
    flow_free(&ode->flow);
    start_free(ode->start);
    run_settings_free(&ode->set);
    opts_free(&ode->options);
    free(ode->lanes);
    free(ode->memory);
    free(ode->scratch);
    free(ode->input);
    free(ode->output);
    free(ode->points);
    free(ode->samples);
    free(ode->labels);
    free(ode);
}

void dfl_ode_observe(dfl_ode *ode, dfl_advance_fn fn, void *user) {
    ode->advance = fn;
    ode->advance_user = user;
}

void dfl_ode_noise(dfl_ode *ode, dfl_noise_fn fn, void *user) {
    ode->noise = fn;
    ode->noise_user = user;
}

void dfl_ode_cancel(dfl_ode *ode) {
    atomic_store(&ode->cancelled, 1);
}

int dfl_ode_components(const dfl_ode *ode) {
    return ode->flow.scratch.components;
}

double dfl_ode_model_seconds(const dfl_ode *ode) {
    return ode->model_seconds;
}

dfl_status dfl_ode_start(const dfl_ode *ode, char *buf, size_t cap, size_t *need) {
    text out = {0};
    if (!ode) return fail(DFL_E_ARG, "dfl_ode_start: ode is NULL");
    TRY(start_json(ode->start, &out));
    return text_result(&out, buf, cap, need);
}

dfl_status dfl_ode_text(const dfl_ode *ode, char *buf, size_t cap, size_t *need) {
    text out = {0};
    family_print(&ode45, &ode->options, &out);
    return text_result(&out, buf, cap, need);
}
