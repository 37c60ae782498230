/* What a few evaluations tell. Every probe is a plan of one step from t to clean data, out of given
 * states: on a scalar process it gives the predicted x_0, and with it n = (x - a x_0)/b, whatever the
 * network predicts; a listener keeps the raw output y. Whether that is what the card says is asked
 * in doctor_prediction.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/doctor_probe.h"

enum { NUMBERS = 4096, SAMPLES_MIN = 16, SAMPLES_MAX = 1024 };

static int tap_eval(dfl_model *self, const dfl_request *rq) {
    probe *const p = (probe *)self;
    TRY(p->model->eval(p->model, rq));
    if (rq->output_dim == p->output && rq->count <= p->n)
        memcpy(p->y, rq->output, rq->count * p->output * sizeof *p->y);
    p->gives = rq->gives;
    return 0;
}

/* ---- one evaluation ---------------------------------------------------------------------------- */

double probe_time(const probe *p, double t) {
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

/* Why an evaluation at t came to nothing. */
static dfl_status judge(probe *p, dfl_status status, double t, bool *go) {
    *go = status == DFL_OK;
    if (status == DFL_OK || status == DFL_E_MEMORY) return status;
    if (p->no_plan) return DFL_OK;
    return doctor_find(p->doctor, CHECK_OUTPUT, DFL_ERROR,
                       "an evaluation at t = %.6g failed: %s\ntry precision f32; else compare "
                       "process, time_map and prediction_type of the card with how it was trained",
                       t, dfl_last_message());
}

dfl_status probe_ask(probe *p, double t, const int64_t *labels, bool *go) {
    text spec = {0};
    text_add(&spec, "process=%s solver=%s grid=list:times=[", p->process_text,
             probe_in_phase(p) ? "euler" : "ddim");
    text_real(&spec, t);
    text_add(&spec, ",0]");
    const dfl_status status = run_spec(p, &spec, labels, p->x, p->x0);
    text_free(&spec);
    return judge(p, status, t, go);
}

/* signal a x_0 + b n */
static void set_states(probe *p, double t, double signal) {
    const size_t halves = p->state / p->dim;
    marginal at;
    process_marginal(p->process, t, &at);
    for (size_t i = 0; i < p->n; i++)
        for (size_t h = 0; h < halves; h++)
            for (size_t k = 0; k < p->dim; k++) {
                const double *n = p->noise + i * p->state + k, *b = at.b + h * halves;
                double x = signal * at.a[h] * p->clean[i * p->dim + k] + b[0] * n[0];
                if (halves == 2) x += b[1] * n[p->dim];
                p->x[i * p->state + h * p->dim + k] = x;
            }
}

void probe_mix(probe *p, double t) {
    set_states(p, t, 1);
}

void probe_start(probe *p, double t) {
    set_states(p, t, 0);
}

/* ---- the checks -------------------------------------------------------------------------------- */

static double rms(const double *u, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += u[i] * u[i];
    return sqrt(sum / (double)n);
}

/* Sample 0 must not change when its neighbours do. */
static dfl_status check_batch(probe *p, double t, bool *go) {
    double *first = mem_array(p->output, sizeof *first);
    if (!first) return fail_memory();
    probe_mix(p, t);
    dfl_status status = probe_ask(p, t, NULL, go);
    if (status == DFL_OK && *go) {
        memcpy(first, p->y, p->output * sizeof *first);
        for (size_t i = p->state; i < p->n * p->state; i++) p->x[i] = 0.5 - 2 * p->x[i];
        status = probe_ask(p, t, NULL, go);
    }
    if (status == DFL_OK && *go) {
        const double size = rms(first, p->output);
        for (size_t i = 0; i < p->output; i++) first[i] -= p->y[i];
        const double moved = rms(first, p->output);
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
    const size_t all = p->n * p->output;
    double *first = mem_array(all, sizeof *first);
    if (!first) return fail_memory();
    dfl_status status = probe_ask(p, t[0], labels[0], go);
    if (status == DFL_OK && *go) {
        memcpy(first, p->y, all * sizeof *first);
        status = probe_ask(p, t[1], labels[1], go);
    }
    *same = status == DFL_OK && *go && memcmp(first, p->y, all * sizeof *first) == 0;
    free(first);
    return status;
}

/* Preconditioned inputs depend on the time by themselves, and mixtures on nothing but their label. */
static dfl_status check_time_input(probe *p, double start, bool *go) {
    const double t[2] = {start, probe_time(p, p->model->card.t_min + 0.3 * start)};
    int64_t *none[2] = {NULL, NULL};
    bool same;
    if (p->model->card.form.precond != PRECOND_NONE || p->process->row->unit_signal) return DFL_OK;
    probe_start(p, start);
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

/* One half of the noise is not enough for the factor that follows the flow. */
static dfl_status draw_samples(probe *p) {
    const char *how = p->process->row->unit_signal ? "deis:order=2 steps=12 grid=karras"
                                                   : "deis:order=2 steps=12 grid=power:kappa=2";
    if (probe_in_phase(p))
        how = p->output == p->dim
                  ? "deis:order=2 steps=50 grid=power:kappa=2 denoise=1"
                  : "deis:order=3,factor=flow steps=20 grid=power:kappa=2 denoise=1";
    text spec = {0};
    text_add(&spec, "process=%s solver=%s", p->process_text, how);
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

/* Samples from a start that leaves data in the noise are not the network's fault. */
static bool start_is_wrong(const dfl_doctor *d) {
    for (size_t i = 0; i < d->n; i++)
        if (d->findings[i].check == CHECK_START && d->findings[i].severity == DFL_ERROR)
            return true;
    return false;
}

static dfl_status check_all(probe *p) {
    double start = probe_time(p, 1);
    bool go = true;
    const bool lost = start_is_wrong(p->doctor);
    const size_t before = p->doctor->n;
    TRY(doctor_check_noise(p, start, &go));
    if (p->no_plan) { /* no data are determined from pure noise: a little below they are */
        start = probe_time(p, 0.98);
        TRY(doctor_check_noise(p, start, &go));
    }
    const bool fits = p->doctor->n == before && !lost;
    if (go) TRY(check_time_input(p, start, &go));
    if (go) TRY(judge(p, draw_samples(p), start, &go));
    if (!go) return DFL_OK;
    TRY(check_range(p));
    const double std = spread(p->clean, p->n * p->dim);
    p->doctor->ran[CHECK_PREDICTION] = !lost;
    if (std > 0 && fits) TRY(doctor_check_fit(p, std, &go));
    go = true;
    const double size = fmin(std, 4 * start_data_size(&p->model->card));
    if (size < std) /* they ran away: what follows sees states of the data's size */
        for (size_t i = 0; i < p->n * p->dim; i++) p->clean[i] *= size / std;
    const double middle = doctor_time_of_rho(p, size);
    TRY(check_batch(p, middle, &go));
    return go ? check_classes(p, middle, &go) : DFL_OK;
}

static dfl_status prepare(probe *p) {
    const size_t wanted = NUMBERS / p->dim;
    TRY(process_new(p->process_text, &p->process));
    const bool both = probe_in_phase(p) && p->model->card.form.half == NET_BOTH;
    p->n = wanted < SAMPLES_MIN ? SAMPLES_MIN : wanted > SAMPLES_MAX ? SAMPLES_MAX : wanted;
    p->state = probe_in_phase(p) ? 2 * p->dim : p->dim;
    p->output = both ? p->state : p->dim;
    double **const arrays[] = {&p->clean, &p->x0, &p->noise, &p->x, &p->y};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (!(*arrays[i] =
                  mem_array(mem_product(p->n, i < 2 ? p->dim : p->state, 1), sizeof(double))))
            return fail_memory();
    for (size_t i = 0; i < p->n; i++)
        noise_normals(19, DFL_DRAW_START, 0, i, 0, p->state, p->noise + i * p->state);
    return DFL_OK;
}

dfl_status doctor_check_network(dfl_doctor *d) {
    dfl_model *const model = d->model;
    probe p = {.tap = {.card = model->card, .eval = tap_eval, .calls = model->calls},
               .doctor = d,
               .model = model,
               .dim = card_dim(&model->card),
               .process_text = d->plan ? d->plan->meta.process : model->card.process};
    dfl_status status = prepare(&p);
    if (status == DFL_OK) status = check_all(&p);
    free(p.clean);
    free(p.noise);
    free(p.x);
    free(p.y);
    free(p.x0);
    process_free(p.process);
    return status;
}
