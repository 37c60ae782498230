/* What a few evaluations tell. Every probe is a plan of one step from t to clean data: from states
 * x = a x_0 + b n it gives the predicted x_0, and with it n = (x - a x_0)/b, whatever the network
 * predicts; a listener keeps the raw output y.
 *
 *   noise       at the start x is noise, and y = cx x_0 + cn n with an x_0 that knows nothing of n:
 *               <y, n>/<n, n> is cn, and what is left of y is no larger than |cx| times the data
 *   calibration conditional expectations obey E[x_0' x_0] = E[x_0'^2], with x_0' = E[x_0 | x], and the
 *               same for n. x_0 are samples from a short run of the model itself, so a network that
 *               is taken for another fails here or there */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/doctor.h"

enum { NUMBERS = 4096, SAMPLES_MIN = 16, SAMPLES_MAX = 1024 };

typedef struct {
    dfl_model tap; /* what the run takes for the model; its card is the model's */
    dfl_doctor *doctor;
    dfl_model *model;
    process *process;
    char *process_text;
    size_t n, dim;
    double *clean, *noise; /* [n][dim] samples of the model, standard normals */
    double *x, *y, *x0;    /* [n][dim] states, raw outputs, predictions of the latest probe */
    double cx, cn;         /* what y was to be */
    bool no_plan;          /* the latest probe asks for what has no plan: nobody's fault */
} probe;

static int tap_eval(dfl_model *self, const dfl_request *rq) {
    probe *const p = (probe *)self;
    TRY(p->model->eval(p->model, rq));
    if (rq->output_dim == p->dim && rq->count <= p->n)
        memcpy(p->y, rq->output, rq->count * p->dim * sizeof *p->y);
    p->cx = rq->gives.cx[0];
    p->cn = rq->gives.cn[0];
    return 0;
}

/* ---- one evaluation ---------------------------------------------------------------------------- */

static double time_near(const probe *p, double t) {
    const card *c = &p->model->card;
    const netform *f = &c->form;
    const double hi = fmin(c->t_max, p->process->t_hi);
    t = fmin(fmax(t, c->t_min), hi);
    if (f->time_dtype != NET_INT32 && f->time_dtype != NET_INT64) return t;
    const double tau = nearbyint(f->scale * t + f->offset);
    t = (tau - f->offset) / f->scale;
    return t > 1 ? 1 : t;
}

/* All samples in one batch, so that an evaluation is one request. */
static dfl_status run_spec(probe *p, const text *spec, const int64_t *labels, const double *from,
                           double *to) {
    char settings[64];
    dfl_plan *plan = NULL;
    dfl_run *run = NULL;
    snprintf(settings, sizeof settings, "dtype=float64,seed=20,batch=%zu", p->n);
    dfl_status status = spec->failed ? fail_memory() : dfl_plan_new(p->model, spec->data, &plan);
    p->no_plan = status != DFL_OK && status != DFL_E_MEMORY;
    if (status == DFL_OK) status = dfl_run_new(plan, &p->tap, settings, &run);
    if (status == DFL_OK) status = dfl_run_sample(run, 0, p->n, labels, from, to);
    dfl_run_free(run);
    dfl_plan_free(plan);
    return status;
}

/* Runs p->x, at time t, through the network. */
static dfl_status ask(probe *p, double t, const int64_t *labels) {
    text spec = {0};
    text_add(&spec, "process=%s solver=ddim grid=list:times=[", p->process_text);
    text_real(&spec, t);
    text_add(&spec, ",0]");
    const dfl_status status = run_spec(p, &spec, labels, p->x, p->x0);
    text_free(&spec);
    return status;
}

/* States at time t: a x_0 + b n. */
static void mix_states(probe *p, const scalar_at *at) {
    for (size_t i = 0; i < p->n * p->dim; i++) p->x[i] = at->a * p->clean[i] + at->b * p->noise[i];
}

static double dot(const double *u, const double *v, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += u[i] * v[i];
    return sum;
}

static double rms(const double *u, size_t n) {
    return sqrt(dot(u, u, n) / (double)n);
}

/* A failure of the network is a finding; *go says whether probing makes sense any longer. */
static dfl_status judge(probe *p, dfl_status status, double t, bool *go) {
    *go = status == DFL_OK;
    if (status == DFL_OK || status == DFL_E_MEMORY) return status;
    if (p->no_plan) return DFL_OK;
    return doctor_find(p->doctor, CHECK_OUTPUT, DFL_ERROR,
                       "an evaluation at t = %.6g failed: %s\ntry precision f32; else compare "
                       "process, time_map and prediction_type of the card with how it was trained",
                       t, dfl_last_message());
}

/* ---- the checks -------------------------------------------------------------------------------- */

/* Pure noise at the start; the type that the output looks like, for the message. */
static const char *looks_like(double c, double left, double b) {
    if (fabs(c - 1) < 0.25) return left < 0.25 ? "epsilon" : "epsilon or flow_prediction";
    if (fabs(c + 1 / b) < 0.25 / b) return "score";
    return fabs(c) < 0.25 ? "sample or v_prediction" : "none of the known types";
}

static dfl_status check_noise(probe *p, double t, bool *go) {
    const size_t all = p->n * p->dim;
    const scalar_at at = process_at(p->process, t);
    const double b = p->process->row->unit_signal ? at.rho : at.b;
    for (size_t i = 0; i < all; i++) p->x[i] = at.b * p->noise[i];
    TRY(judge(p, ask(p, t, NULL), t, go));
    p->doctor->ran[CHECK_OUTPUT] = !p->no_plan;
    if (!*go || at.rho < 10) return DFL_OK;
    const double c = dot(p->y, p->noise, all) / dot(p->noise, p->noise, all);
    double left = 0;
    for (size_t i = 0; i < all; i++)
        left += (p->y[i] - c * p->noise[i]) * (p->y[i] - c * p->noise[i]);
    left = sqrt(left / (double)all);
    const double size = start_data_size(&p->model->card);
    const double around = 0.25 * (fabs(p->cn) + fabs(p->cx) * size);
    const double most = 0.25 * fabs(p->cn) + 1.25 * fabs(p->cx) * size;
    p->doctor->ran[CHECK_PREDICTION] = true;
    if (fabs(c - p->cn) <= around && left <= most) return DFL_OK;
    return doctor_find(
        p->doctor, CHECK_PREDICTION, DFL_ERROR,
        "for pure noise at t = %.6g the output should be %.3g times the noise, with "
        "at most %.3g beside it; it is %.3g times the noise with %.3g beside it\nthe "
        "output looks like %s; correct prediction_type, or the process and time_map "
        "if the type is right",
        t, p->cn, most, c, left, looks_like(c, left, b));
}

/* E[u' u]/E[u'^2] of a prediction u' and what it predicts, about their means; and its size. */
static double calibration(const double *guess, const double *truth, size_t n, double *size) {
    double mean = 0, both = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += guess[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double u = guess[i] - mean;
        both += u * truth[i];
        square += u * u;
    }
    *size = sqrt(square / (double)n);
    return both / square;
}

static void keep_worst(double *worst, double slope) {
    if (!(fabs(log(slope)) <= fabs(log(*worst)))) *worst = slope;
}

/* The samples of the short run, hidden in noise of `rho` times their own spread. */
static dfl_status check_calibration(probe *p, double rho, bool *go) {
    const size_t all = p->n * p->dim;
    const double t = time_near(p, process_time_of_rho(p->process, rho));
    const scalar_at at = process_at(p->process, t);
    double size_x0, size_n;
    mix_states(p, &at);
    TRY(judge(p, ask(p, t, NULL), t, go));
    if (!*go) return DFL_OK;
    const double on_x0 = calibration(p->x0, p->clean, all, &size_x0);
    for (size_t i = 0; i < all; i++) p->y[i] = (p->x[i] - at.a * p->x0[i]) / at.b;
    const double on_n = calibration(p->y, p->noise, all, &size_n);
    keep_worst(&p->doctor->clean_slope, on_x0);
    if (size_n >= 0.3) keep_worst(&p->doctor->noise_slope, on_n);
    const double off = fmax(fabs(log(on_x0)), size_n < 0.3 ? 0 : fabs(log(on_n)));
    const bool wrong = !(off <= log(1.6)) || size_n > 1.5;
    if (!wrong && off <= log(1.25)) return DFL_OK;
    *go = false;
    return doctor_find(p->doctor, CHECK_PREDICTION, wrong ? DFL_ERROR : DFL_WARNING,
                       "at t = %.6g the predictions do not fit what was put in: slope %.2g of the "
                       "clean data and %.2g of the noise on their predictions, where 1 is right "
                       "(noise predicted with size %.2g)\ncompare prediction_type, process and "
                       "time_map of the card with how the network was trained",
                       t, on_x0, on_n, size_n);
}

/* Sample 0 must not change when its neighbours do. */
static dfl_status check_batch(probe *p, double t, bool *go) {
    const scalar_at at = process_at(p->process, t);
    double *first = mem_array(p->dim, sizeof *first);
    if (!first) return fail_memory();
    mix_states(p, &at);
    dfl_status status = judge(p, ask(p, t, NULL), t, go);
    if (status == DFL_OK && *go) {
        memcpy(first, p->y, p->dim * sizeof *first);
        for (size_t i = p->dim; i < p->n * p->dim; i++) p->x[i] = 0.5 - 2 * p->x[i];
        status = judge(p, ask(p, t, NULL), t, go);
    }
    if (status == DFL_OK && *go) {
        const double size = rms(first, p->dim);
        for (size_t i = 0; i < p->dim; i++) first[i] -= p->y[i];
        const double moved = rms(first, p->dim);
        p->doctor->ran[CHECK_BATCH] = true;
        if (moved > 1e-4 * size)
            status = doctor_find(p->doctor, CHECK_BATCH, DFL_ERROR,
                                 "the output for a sample depends on the others in the batch "
                                 "(changes by %.2g of its size)\nexport the network in evaluation "
                                 "mode (batch normalisation, attention over the batch)",
                                 moved / size);
    }
    free(first);
    return status;
}

/* The raw outputs for one input at two times, or of two classes, are the same numbers. */
static dfl_status compare(probe *p, const double t[2], int64_t *labels[2], bool *same, bool *go) {
    const size_t all = p->n * p->dim;
    double *first = mem_array(all, sizeof *first);
    if (!first) return fail_memory();
    dfl_status status = judge(p, ask(p, t[0], labels[0]), t[0], go);
    if (status == DFL_OK && *go) {
        memcpy(first, p->y, all * sizeof *first);
        status = judge(p, ask(p, t[1], labels[1]), t[1], go);
    }
    *same = status == DFL_OK && *go && memcmp(first, p->y, all * sizeof *first) == 0;
    free(first);
    return status;
}

/* Preconditioned inputs depend on the time by themselves, and mixtures on nothing but their label. */
static dfl_status check_time_input(probe *p, double start, bool *go) {
    const double t[2] = {start, time_near(p, p->model->card.t_min + 0.3 * start)};
    int64_t *none[2] = {NULL, NULL};
    bool same;
    if (p->model->card.form.precond != PRECOND_NONE || p->process->row->unit_signal) return DFL_OK;
    memcpy(p->x, p->noise, p->n * p->dim * sizeof *p->x);
    TRY(compare(p, t, none, &same, go));
    p->doctor->ran[CHECK_TIME_INPUT] = true;
    if (!same) return DFL_OK;
    return doctor_find(
        p->doctor, CHECK_TIME_INPUT, DFL_ERROR,
        "the output is the same at t = %.3g and t = %.3g: the network does not see "
        "the time\ncheck that inputs of the card (network, inputs) are not mixed up, "
        "and that the export kept the time",
        t[0], t[1]);
}

static dfl_status check_classes(probe *p, double t, bool *go) {
    const card *c = &p->model->card;
    int64_t *labels[2] = {mem_array(p->n, sizeof(int64_t)), mem_array(p->n, sizeof(int64_t))};
    const double times[2] = {t, t};
    dfl_status status = labels[0] && labels[1] ? DFL_OK : fail_memory();
    bool same = false;
    if (status == DFL_OK && c->classes > 1) {
        for (size_t i = 0; i < p->n; i++) labels[1][i] = c->classes - 1;
        status = compare(p, times, labels, &same, go);
        p->doctor->ran[CHECK_CLASSES] = true;
        if (same)
            status =
                doctor_find(p->doctor, CHECK_CLASSES, DFL_WARNING,
                            "the output is the same for the first and the last class\ncheck the "
                            "class input of the card (network, inputs)");
    }
    if (status == DFL_OK && *go && c->null_class >= 0) {
        for (size_t i = 0; i < p->n; i++) labels[1][i] = c->null_class;
        status = compare(p, times, labels, &same, go);
        p->doctor->ran[CHECK_CLASSES] = true;
        if (same)
            status = doctor_find(p->doctor, CHECK_CLASSES, DFL_WARNING,
                                 "the null class answers like class 0, so guidance does nothing\n"
                                 "correct \"null\" of the card's classes, or take it out");
    }
    if (status == DFL_OK && c->classes > 0 && c->null_class < 0)
        status =
            doctor_find(p->doctor, CHECK_CLASSES, DFL_NOTE,
                        "the card names no null class, so guidance is refused\nadd \"null\" to "
                        "the card's classes if the network was trained with one");
    free(labels[0]);
    free(labels[1]);
    return status;
}

/* Of 98 in 100 numbers: single ones may go astray in a short run. */
static dfl_status check_range(probe *p) {
    dfl_doctor *d = p->doctor;
    const card *c = &p->model->card;
    const double width = c->range[1] - c->range[0];
    const size_t all = p->n * p->dim;
    memcpy(p->x, p->clean, all * sizeof *p->x);
    sort_reals(p->x, all);
    const double lo = p->x[all / 100], hi = p->x[all - 1 - all / 100];
    d->sample_min = lo;
    d->sample_max = hi;
    d->ran[CHECK_RANGE] = true;
    const double beyond = fmax(c->range[0] - lo, hi - c->range[1]) / width;
    if (beyond > 0.25)
        return doctor_find(d, CHECK_RANGE, beyond > 1 ? DFL_ERROR : DFL_WARNING,
                           "samples go from %.3g to %.3g, far beyond the card's range of %.3g to "
                           "%.3g\ncorrect \"range\", or what the other findings name",
                           lo, hi, c->range[0], c->range[1]);
    if (hi - lo > 0.6 * width) return DFL_OK;
    return doctor_find(d, CHECK_RANGE, DFL_WARNING,
                       "samples go from %.3g to %.3g, a part of the card's range of %.3g to %.3g\n"
                       "correct \"range\" if the data were scaled to another one",
                       lo, hi, c->range[0], c->range[1]);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static dfl_status draw_samples(probe *p) {
    text spec = {0};
    text_add(&spec, "process=%s solver=deis:order=2 steps=12 grid=%s", p->process_text,
             p->process->row->unit_signal ? "karras" : "power:kappa=2");
    const dfl_status status = run_spec(p, &spec, NULL, NULL, p->clean);
    text_free(&spec);
    return status;
}

static double spread(const double *u, size_t n) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += u[i] / (double)n;
    for (size_t i = 0; i < n; i++) square += (u[i] - mean) * (u[i] - mean);
    return sqrt(square / (double)n);
}

static dfl_status check_all(probe *p) {
    double start = time_near(p, 1);
    bool go = true;
    const size_t before = p->doctor->n;
    TRY(check_noise(p, start, &go));
    if (p->no_plan) { /* no data are determined from pure noise: a little below they are */
        start = time_near(p, 0.98);
        TRY(check_noise(p, start, &go));
    }
    const bool fits = p->doctor->n == before;
    if (go) TRY(check_time_input(p, start, &go));
    if (go) TRY(judge(p, draw_samples(p), start, &go));
    if (!go) return DFL_OK;
    TRY(check_range(p));
    const double std = spread(p->clean, p->n * p->dim);
    const double middle = time_near(p, process_time_of_rho(p->process, std));
    p->doctor->ran[CHECK_PREDICTION] = true;
    if (std > 0 && fits) TRY(check_calibration(p, std, &go));
    if (std > 0 && fits && go) TRY(check_calibration(p, 0.2 * std, &go));
    go = true;
    TRY(check_batch(p, middle, &go));
    return go ? check_classes(p, middle, &go) : DFL_OK;
}

static dfl_status prepare(probe *p) {
    const size_t wanted = NUMBERS / p->dim;
    p->n = wanted < SAMPLES_MIN ? SAMPLES_MIN : wanted > SAMPLES_MAX ? SAMPLES_MAX : wanted;
    double **const arrays[] = {&p->clean, &p->noise, &p->x, &p->y, &p->x0};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (!(*arrays[i] = mem_array(mem_product(p->n, p->dim, 1), sizeof(double))))
            return fail_memory();
    for (size_t i = 0; i < p->n; i++)
        noise_normals(19, DFL_DRAW_START, 0, i, 0, p->dim, p->noise + i * p->dim);
    return process_new(p->process_text, &p->process);
}

dfl_status doctor_check_network(dfl_doctor *d) {
    dfl_model *const model = d->model;
    probe p = {.tap = {.card = model->card, .eval = tap_eval, .calls = model->calls},
               .doctor = d,
               .model = model,
               .dim = card_dim(&model->card),
               .process_text = d->plan ? d->plan->meta.process : model->card.process};
    dfl_status status = prepare(&p);
    if (status == DFL_OK && p.process->row->components == 1) status = check_all(&p);
    free(p.clean);
    free(p.noise);
    free(p.x);
    free(p.y);
    free(p.x0);
    process_free(p.process);
    return status;
}
