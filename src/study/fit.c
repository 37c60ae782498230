/* A fit from its options on: times of student and teacher, and the order of the work. */
#include "study/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"
#include "study/fit_order.h"
#include "study/refine.h"

enum { STEPS_MAX = 1000, TEACHER_MAX = 100000, SAMPLES_MAX = 1 << 20 };

const opt_row fit_options[] = {
    {"steps", OPT_INT, NULL, 1, STEPS_MAX, NULL, "steps, which are evaluations, of the plan"},
    {"grid", OPT_TEXT, "power:kappa=2", 0, 0, NULL,
     "times; the teacher's nearest are taken; search"},
    {"samples", OPT_INT, "256", 2, SAMPLES_MAX, NULL, "starts to fit on"},
    {"held_out", OPT_INT, "256", 1, SAMPLES_MAX, NULL, "other starts, to measure the result on"},
    {"seed", OPT_TEXT, "1000", 0, 0, NULL, "of the starts"},
    {"teacher", OPT_TEXT, "deis:order=3", 0, 0, NULL,
     "its solver; in phase space, where none is given, with factor=flow"},
    {"teacher_nfe", OPT_INT, "60", 1, TEACHER_MAX, NULL, "its evaluations"},
    {"teacher_grid", OPT_TEXT, "power:kappa=2", 0, 0, NULL, "its times"},
    {"history", OPT_INT, "3", 0, FIT_HISTORY_MAX, NULL, "older outputs that a step may use"},
    {"ridge", OPT_REAL, "1e-6", 0, 1e6, NULL,
     "pull towards the coefficients of ddim, or of its like in phase space"},
    {"constraint", OPT_CHOICE, "none", 0, 0, "none|consistency|order2|order3",
     "consistency: a constant output is integrated exactly; order2, order3: polynomials, too"},
    {"share", OPT_BOOL, "0", 0, 0, NULL, "one set of weights for all steps"},
    {"compare", OPT_CHOICE, "few", 0, 0, "none|few|all", "classical solvers to measure"},
    {"refine", OPT_INT, "0", 0, REFINE_MAX, NULL, "iterations on the whole run, after the fit"},
    {"objective", OPT_CHOICE, "rms", 0, 0, "rms|moments|features|feature_distance",
     "what they minimise"},
    {"weight", OPT_REAL, NULL, 0, 1e9, NULL, "of moments or features, beside the state's error"},
    {"refine_times", OPT_BOOL, "0", 0, 0, NULL, "times are adjusted, too"},
    {"process", OPT_TEXT, NULL, 0, 0, NULL, "instead of the model's"},
    {"t_start", OPT_REAL, NULL, 0, 1, NULL, "first time"},
    {"t_end", OPT_REAL, NULL, 0, 1, NULL, "last time"},
    {"prior", OPT_TEXT, NULL, 0, 0, NULL, "file of the density that starts are drawn from"},
    {"prior_map", OPT_CHOICE, "draw", 0, 0, "draw|flow", "draws from it, or its flow map"},
    {"data_moments", OPT_TEXT, NULL, 0, 0, NULL, ".npz of the data's mean and covariance"},
    {"batch", OPT_INT, "64", 1, 1 << 20, NULL, "samples in memory at once"},
    {0},
};

/* ---- times ------------------------------------------------------------------------------------- */

/* Start and states of a plan: [plan->steps + 1]. */
static dfl_status plan_times(const dfl_plan *plan, double **out) {
    size_t n = 0;
    double *const t = mem_array(plan->steps + 1, sizeof *t);
    if (!t) return fail_memory();
    t[n++] = plan->code.inputs[0].t;
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op == ROW_STEP) t[n++] = plan->code.rows[i].t;
    *out = t;
    return DFL_OK;
}

static dfl_status student_times(fit *f) {
    text spec = {0};
    dfl_plan *plan = NULL;
    /* Log-rho Adams-Bashforth, the base under order conditions, refuses ends that these allow. */
    text_add(&spec, "solver=%s steps=%zu grid=%s%s", fit_order(f) ? "ddim" : fit_base_name(f),
             f->steps, f->grid, f->tail.data);
    dfl_status status = spec.failed ? fail_memory() : dfl_plan_new(f->model, spec.data, &plan);
    if (status == DFL_OK) status = plan_times(plan, &f->t);
    dfl_plan_free(plan);
    text_free(&spec);
    return status;
}

static const char *teacher_of(const fit *f) {
    const opt_value *asked = opt_get(&f->spec, "teacher");
    return asked->given ? asked->text : fit_usual_teacher(f);
}

static dfl_status check_teacher(const fit *f) {
    const dfl_plan *plan = f->teacher;
    const char *name = teacher_of(f);
    if (plan->draws + plan->picks > 0)
        return fail(DFL_E_COMBINATION,
                    "fit: teacher %.60s draws noise; a teacher without is needed", name);
    for (size_t i = 0; i < plan->steps; i++)
        if (!(f->teacher_t[i + 1] < f->teacher_t[i]))
            return fail(DFL_E_COMBINATION,
                        "fit: the times of teacher %.60s do not fall; choose another teacher",
                        name);
    if (f->steps <= plan->steps) return DFL_OK;
    return fail(
        DFL_E_RANGE,
        "fit: steps=%zu is more than the %zu steps of the teacher, whose states they are to "
        "meet; give it more evaluations (teacher_nfe)",
        f->steps, plan->steps);
}

static dfl_status make_teacher(fit *f) {
    text spec = {0};
    text_add(&spec, "solver=%s nfe=%lld grid=%s t_start=", teacher_of(f),
             opt_int(&f->spec, "teacher_nfe"), opt_text(&f->spec, "teacher_grid"));
    text_real(&spec, f->t[0]);
    text_add(&spec, " t_end=");
    text_real(&spec, f->t[f->steps]);
    if (opt_get(&f->spec, "process")->set)
        text_add(&spec, " process=%s", opt_text(&f->spec, "process"));
    dfl_status status =
        spec.failed ? fail_memory() : dfl_plan_new(f->model, spec.data, &f->teacher);
    if (status != DFL_OK) status = fail_in(status, "fit, teacher");
    if (status == DFL_OK) status = plan_times(f->teacher, &f->teacher_t);
    text_free(&spec);
    return status == DFL_OK ? check_teacher(f) : status;
}

/* Interior times only: there the log-SNR is finite. */
static size_t nearest(const process *p, const fit_meeting *m, double t) {
    const double lambda = fit_lambda(p, t);
    size_t best = 1;
    double least = INFINITY;
    for (size_t i = 1; i < m->points; i++) {
        const double gap = fabs(fit_lambda(p, m->own[i]) - lambda);
        if (!(gap < least)) continue;
        best = i;
        least = gap;
    }
    return best;
}

void fit_meet(const process *p, const fit_meeting *m, size_t *at) {
    at[0] = 0;
    at[m->steps] = m->points;
    for (size_t k = 1; k < m->steps; k++) {
        size_t i = nearest(p, m, m->asked[k]);
        if (i <= at[k - 1]) i = at[k - 1] + 1;
        if (i > m->points - (m->steps - k)) i = m->points - (m->steps - k);
        at[k] = i;
    }
}

/* Which of its two predictions an output tells best at a time: where there is little signal, and
   hardly anything of the noise in the output, it is x_0 (flow, v, sample, EDM): some of the first
   steps. */
bool fit_tells_clean(const fit *f, double t) {
    if (f->components == 2) return false; /* phase space knows noise only */
    const rows r = {.process = f->process, .form = &f->model->card.form};
    const scalar_at at = process_at(f->process, t);
    return at.a < at.b && fabs(rows_split_at(&r, t).n_y) < 0.1;
}

static void choose_predictions(fit *f) {
    for (size_t k = 0; k < f->steps; k++)
        f->clean[k] = (k == 0 || f->clean[k - 1]) && fit_tells_clean(f, f->t[k]);
}

void fit_set_times(fit *f, const size_t *at) {
    for (size_t k = 0; k <= f->steps; k++) {
        f->at[k] = at[k];
        f->t[k] = f->teacher_t[at[k]];
    }
    choose_predictions(f);
}

/* Each of the student's times becomes the nearest of the teacher's. */
static void meet_teacher(fit *f) {
    const fit_meeting m = {f->teacher->steps, f->steps, f->teacher_t, f->t};
    fit_meet(f->process, &m, f->at);
    fit_set_times(f, f->at);
}

/* ---- life -------------------------------------------------------------------------------------- */

static dfl_status configure(fit *f) {
    static const char *const shared[] = {"process", "t_start", "t_end"};
    const opts *o = &f->spec;
    const char *asked = opt_text(o, "process");
    if (!opt_get(o, "steps")->set) return fail(DFL_E_KEY, "a fit needs steps=N");
    TRY(process_new(asked ? asked : f->model->card.process, &f->process));
    f->steps = (size_t)opt_int(o, "steps");
    f->history = (size_t)opt_int(o, "history");
    f->samples = (size_t)opt_int(o, "samples");
    f->held_out = (size_t)opt_int(o, "held_out");
    TRY(fit_space_new(f));
    f->starts = f->samples + f->held_out;
    const char *grid = opt_text(o, "grid");
    f->grid = text_copy(fit_search_asked(grid) ? "power:kappa=2" : grid);
    if (!f->grid) return fail_memory();
    text_add(&f->tail, "%s", "");
    for (size_t i = 0; i < 3; i++) {
        opts one = {.n = 1, .v = {*opt_get(o, shared[i])}};
        if (!one.v[0].set) continue;
        text_add(&f->tail, " ");
        opts_print(&one, &f->tail);
    }
    if (f->tail.failed) return fail_memory();
    TRY(refine_check(f));
    TRY(fit_share_check(f));
    TRY(student_times(f));
    TRY(fit_order_check_times(f));
    TRY(make_teacher(f));
    TRY(fit_start_new(f));
    if (fit_search_asked(grid)) TRY(fit_search_new(f, grid));
    f->at = mem_array(f->steps + 1, sizeof *f->at);
    f->clean = mem_array(f->steps, sizeof *f->clean);
    f->step = mem_array(f->steps, sizeof *f->step);
    f->target = mem_array(mem_product(f->steps + 1, f->starts, f->state), sizeof *f->target);
    if (!f->at || !f->clean || !f->step || !f->target) return fail_memory();
    meet_teacher(f);
    TRY(fit_teacher_name(f));
    return fit_choose_rivals(f);
}

/* A plan that cannot be written would be found out after minutes, so each step is tried. */
static dfl_status check_steps(const fit *f) {
    for (size_t k = 0; k < f->steps; k++) {
        dfl_plan *plan = NULL;
        TRY(fit_probe(f, f->t[k], f->clean[k], &plan));
        dfl_plan_free(plan);
    }
    return DFL_OK;
}

dfl_status fit_new(dfl_model *model, const char *spec, const char *work, fit **out) {
    fit *const f = mem_array(1, sizeof *f);
    *out = NULL;
    if (!f) return fail_memory();
    f->model = model;
    dfl_status status = opts_parse_words("fit", fit_options, spec, &f->spec);
    if (status == DFL_OK) status = configure(f);
    if (status == DFL_OK) status = check_steps(f);
    if (status == DFL_OK && work && !(f->work = text_copy(work))) status = fail_memory();
    if (status != DFL_OK)
        fit_free(f);
    else
        *out = f;
    return status;
}

void fit_free(fit *f) {
    if (!f) return;
    opts_free(&f->spec);
    process_free(f->process);
    text_free(&f->tail);
    fit_search_free(f->search);
    free(f->grid);
    text_free(&f->start);
    text_free(&f->start_about);
    text_free(&f->start_warnings);
    text_free(&f->start_files);
    dfl_plan_free(f->teacher);
    dfl_plan_free(f->plan);
    free(f->t);
    free(f->at);
    free(f->clean);
    free(f->teacher_t);
    free(f->work);
    free(f->target);
    free(f->step);
    free(f->rivals);
    free(f->round);
    free(f);
}

/* ---- the work ---------------------------------------------------------------------------------- */

/* Evaluations between two steps of a plan. */
static int tell(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                const void *state) {
    const fit *f = ((const fit_draw *)user)->user;
    const size_t nfe = ((const fit_draw *)user)->plan->nfe;
    (void)t, (void)first, (void)state;
    return f->fn ? f->fn(f->user, step_share(nfe, step, steps) * count) : 0;
}

dfl_status fit_sample(const fit *f, const fit_draw *draw, double *to) {
    text options = {0};
    dfl_run *run = NULL;
    fit_draw own = *draw;
    text_add(&options, "seed=%s,dtype=float64,batch=%lld%s", opt_text(&f->spec, "seed"),
             opt_int(&f->spec, "batch"), draw->start ? "" : f->start.data);
    dfl_status status =
        options.failed ? fail_memory() : dfl_run_new(draw->plan, f->model, options.data, &run);
    if (!draw->observe) own.user = (void *)(uintptr_t)f;
    if (status == DFL_OK)
        dfl_run_observe(run, draw->observe ? draw->observe : tell,
                        draw->observe ? draw->user : (void *)&own);
    if (status == DFL_OK)
        status = dfl_run_sample(run, draw->first, draw->count, NULL, draw->start, to);
    dfl_run_free(run);
    text_free(&options);
    return status;
}

dfl_status fit_costs(const fit *f, fit_cost *out) {
    size_t missing = 0;
    *out = (fit_cost){0};
    TRY(fit_teacher_missing(f, &missing));
    out->teacher = missing * f->teacher->nfe;
    out->search = fit_search_cost(f);
    out->student = (f->samples * fit_share_sweeps(f) + f->held_out) * f->steps;
    for (size_t i = 0; i < f->nrivals; i++) out->compare += f->held_out * f->rivals[i].nfe;
    return refine_cost(f, &out->refine);
}

dfl_status fit_run(fit *f, fit_watch fn, void *user) {
    f->fn = fn;
    f->user = user;
    dfl_plan_free(f->plan);
    f->plan = NULL;
    for (size_t k = 0; k <= f->steps; k++) f->t[k] = f->teacher_t[f->at[k]]; /* again, if refined */
    TRY(fit_teach(f));
    if (f->search) TRY(fit_search_run(f));
    TRY(fit_steps(f));
    TRY(refine_run(f));
    TRY(fit_compile(f));
    return fit_compare(f);
}
