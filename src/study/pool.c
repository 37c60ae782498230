/* The pool of an adaptive integration: samples enter while there is room, ask, are answered
   together, and leave when they have arrived. What happens to one never depends on the others. */
#include "study/ode.h"

#include <math.h>
#include <string.h>

/* One call of dfl_ode_sample. */
typedef struct {
    uint64_t first;
    size_t count, next; /* next: place of the first sample that has not begun */
    const int64_t *labels;
    const char *start;
    char *samples;
    size_t *nfe;
} call;

void ode_apply(blk c, const double *x, int from, size_t dim, bool add, double *y) {
    const int rows_of_c = c.m ? c.m : from, columns = c.m ? c.n : from;
    for (int i = 0; i < rows_of_c; i++)
        for (size_t d = 0; d < dim; d++) {
            double sum = add ? y[(size_t)i * dim + d] : 0;
            for (int j = 0; j < columns; j++) {
                const double entry = c.m ? c.v[i * columns + j] : i == j ? c.v[0] : 0;
                if (entry != 0) sum += entry * x[(size_t)j * dim + d];
            }
            y[(size_t)i * dim + d] = sum;
        }
}

/* ---- entering -------------------------------------------------------------------------------- */

static dfl_status draw(const dfl_ode *ode, uint64_t sample, double *dst) {
    if (!ode->noise) {
        noise_normals(ode->set.seed, DFL_DRAW_START, 0, sample, 0, ode->n, dst);
        return DFL_OK;
    }
    const int code = ode->noise(ode->noise_user, DFL_DRAW_START, 0, sample, 1, ode->n, dst);
    if (code) return fail(code, "the noise source returned %d (start state)", code);
    if (vec_is_finite(DFL_FLOAT64, dst, ode->n)) return DFL_OK;
    return fail(DFL_E_NONFINITE,
                "the noise source gave a start state that is not finite (sample %llu)",
                (unsigned long long)sample);
}

static dfl_status start_numbers(void *user, uint64_t sample, size_t n, double *z) {
    (void)n; /* ode->n, as everything scalar */
    return draw(user, sample, z);
}

static dfl_status own_start(dfl_ode *ode, ode_lane *lane) {
    const start_key key = {ode->set.seed, lane->sample, lane->label};
    TRY(start_state(ode->start, &key, start_numbers, ode, ode->scratch));
    vec_from_double(ode->set.type, ode->input, ode->scratch, ode->n);
    vec_to_double(ode->set.type, lane->z, ode->input, ode->n);
    return DFL_OK;
}

/* The state a run would start from, to the last bit of the dtype: rounded first, then scaled. */
static dfl_status draw_start(dfl_ode *ode, ode_lane *lane) {
    if (start_is_own(ode->start)) return own_start(ode, lane);
    const term scale = {0, process_prior(ode->flow.process, ode->t[0])};
    const uint8_t components = (uint8_t)ode->flow.scratch.components;
    TRY(draw(ode, lane->sample, ode->scratch));
    vec_from_double(ode->set.type, ode->input, ode->scratch, ode->n);
    const lin_job job = {.type = ode->set.type,
                         .count = 1,
                         .stride = ode->n,
                         .dim = ode->dim,
                         .dst = ode->input,
                         .components = components,
                         .n = 1,
                         .src = {ode->input},
                         .from = {components},
                         .terms = &scale};
    if (!blk_is_one(scale.c)) lin_run(&job);
    vec_to_double(ode->set.type, lane->z, ode->input, ode->n);
    return DFL_OK;
}

static dfl_status enter(dfl_ode *ode, call *c) {
    const int64_t classes = ode->model->card.classes;
    flow_at at;
    TRY(flow_evaluate(&ode->flow, ode->t[0], &at));
    while (ode->live < ode->set.batch && c->next < c->count) {
        ode_lane *lane = &ode->lanes[ode->live++];
        lane->place = c->next++;
        lane->sample = c->first + lane->place;
        lane->label = -1;
        if (classes)
            lane->label =
                c->labels ? c->labels[lane->place] : (int64_t)(lane->sample % (uint64_t)classes);
        if (c->start)
            vec_to_double(ode->set.type, lane->z,
                          c->start + lane->place * ode->n * vec_size(ode->set.type), ode->n);
        else
            TRY(draw_start(ode, lane));
        if (!vec_is_finite(DFL_FLOAT64, lane->z, ode->n))
            return fail(DFL_E_NONFINITE, "the start state of sample %llu is not finite",
                        (unsigned long long)lane->sample);
        for (size_t i = 0; i < ode->n; i++) lane->z[i] /= at.scale;
        ode45_begin(ode, lane);
    }
    return DFL_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static dfl_status ask(dfl_ode *ode) {
    const size_t size = vec_size(ode->set.type);
    for (size_t i = 0; i < ode->live; i++) {
        ode_lane *lane = &ode->lanes[i];
        TRY(ode45_ask(ode, lane));
        for (size_t d = 0; d < ode->n; d++) ode->scratch[d] = lane->at.on_input * lane->w[d];
        vec_from_double(ode->set.type, ode->input + i * ode->n * size, ode->scratch, ode->n);
        ode->points[i] = lane->at.ask;
        ode->samples[i] = lane->sample;
        ode->labels[i] = lane->label;
    }
    return DFL_OK;
}

/* Lanes that one request without mixed times can hold: neighbours at one time. */
static size_t group_end(const dfl_ode *ode, size_t from) {
    size_t i = from + 1;
    if (ode->model->mixed_times) return ode->live;
    while (i < ode->live && ode->points[i].t == ode->points[from].t &&
           ode->samples[i] == ode->samples[i - 1] + 1)
        i++;
    return i;
}

static dfl_status evaluate(dfl_ode *ode, size_t from, size_t to) {
    const size_t size = vec_size(ode->set.type);
    const bool mixed = ode->model->mixed_times;
    const request_point *point = &ode->points[from];
    const dfl_request request = {
        .count = to - from,
        .input_dim = ode->n,
        .output_dim = ode->m,
        .dtype = ode->set.type,
        .input = ode->input + from * ode->n * size,
        .output = ode->output + from * ode->m * size,
        .t = point->t,
        .tau = point->tau,
        .at = point->at,
        .gives = point->gives,
        .components = ode->flow.scratch.components,
        .output_components = flow_output_components(&ode->flow),
        .first = ode->samples[from],
        .labels = ode->model->card.classes ? ode->labels + from : NULL,
        .each = mixed ? point : NULL,
        .samples = mixed ? ode->samples + from : NULL,
    };
    const double begin = seconds_now();
    const int code = ode->model->eval(ode->model, &request);
    ode->model_seconds += seconds_now() - begin;
    return code;
}

static dfl_status evaluate_all(dfl_ode *ode) {
    for (size_t from = 0; from < ode->live;) {
        if (atomic_load(&ode->cancelled))
            return fail(DFL_E_STOPPED, "cancelled; %zu samples were on their way", ode->live);
        const size_t to = group_end(ode, from);
        TRY(evaluate(ode, from, to));
        from = to;
    }
    return DFL_OK;
}

/* ---- being answered, leaving ----------------------------------------------------------------- */

static dfl_status tell(dfl_ode *ode, const ode_lane *lane, bool done) {
    if (!ode->advance) return DFL_OK;
    const double share = done ? 1 : (lane->u - ode->u[0]) / (ode->u[1] - ode->u[0]);
    for (size_t i = 0; i < ode->n; i++) ode->scratch[i] = lane->at.scale * lane->z[i];
    const int code =
        ode->advance(ode->advance_user, lane->sample, lane->at.t, share, lane->nfe, ode->scratch);
    return code ? fail(code, "the observer returned %d at sample %llu, t = %.6g", code,
                       (unsigned long long)lane->sample, lane->at.t)
                : DFL_OK;
}

/* The slope at the end is known, and with it the noise prediction: x_0 = a' z - (dz/du)/a' on a
   scalar process; in phase space an Euler step of length t, as plans take it. */
static void land(const dfl_ode *ode, const ode_lane *lane) {
    const flow_at *at = &lane->at;
    const double *slope = lane->k[0];
    const double a = process_at(ode->flow.process, at->t).a / at->scale;
    for (size_t i = 0; i < ode->dim; i++) lane->z[i] = a * lane->z[i] - slope[i] / a;
}

static dfl_status leave(const dfl_ode *ode, const call *c, ode_lane *lane) {
    const flow_at *at = &lane->at;
    const size_t size = vec_size(ode->set.type);
    char *dst = c->samples + lane->place * ode->dim * size;
    if (!ode->denoise) {
        for (size_t i = 0; i < ode->dim; i++) lane->z[i] *= at->scale;
    } else if (ode->flow.scratch.components == 1) {
        land(ode, lane);
    } else {
        for (size_t i = 0; i < ode->dim; i++) lane->z[i] -= at->t / at->rate * lane->k[0][i];
    }
    vec_from_double(ode->set.type, dst, lane->z, ode->dim);
    if (c->nfe) c->nfe[lane->place] = lane->nfe;
    if (vec_is_finite(ode->set.type, dst, ode->dim)) return DFL_OK;
    return fail(DFL_E_NONFINITE, "sample %llu is not finite after the last step",
                (unsigned long long)lane->sample);
}

static dfl_status answer(dfl_ode *ode, const call *c, ode_lane *lane, const char *output,
                         bool *done) {
    bool moved;
    if (!vec_is_finite(ode->set.type, output, ode->m))
        return fail(DFL_E_NONFINITE, "the network's output is not finite at t = %.6g (sample %llu)",
                    lane->at.t, (unsigned long long)lane->sample);
    vec_to_double(ode->set.type, ode->scratch, output, ode->m);
    TRY(ode45_answer(ode, lane, ode->scratch, &moved, done));
    if (moved) TRY(tell(ode, lane, *done));
    return *done ? leave(ode, c, lane) : DFL_OK;
}

/* Answers all, and moves those that go on to the front, in their order. */
static dfl_status answer_all(dfl_ode *ode, const call *c) {
    const size_t row_size = ode->m * vec_size(ode->set.type);
    size_t kept = 0;
    for (size_t i = 0; i < ode->live; i++) {
        bool done = false;
        TRY(answer(ode, c, &ode->lanes[i], ode->output + i * row_size, &done));
        if (done) continue;
        const ode_lane lane = ode->lanes[kept];
        ode->lanes[kept++] = ode->lanes[i];
        ode->lanes[i] = lane;
    }
    ode->live = kept;
    return DFL_OK;
}

dfl_status dfl_ode_sample(dfl_ode *ode, uint64_t first, size_t count, const int64_t *labels,
                          const void *start, void *samples, size_t *nfe) {
    if (!ode || (!samples && count))
        return fail(DFL_E_ARG, "dfl_ode_sample: ode and samples must not be NULL");
    if (first > UINT64_MAX - count)
        return fail(DFL_E_RANGE, "dfl_ode_sample: first + count is above 2^64 - 1");
    TRY(card_check_labels(&ode->model->card, labels, count));
    call c = {first, count, 0, labels, start, samples, nfe};
    atomic_store(&ode->cancelled, 0);
    ode->live = 0;
    while (c.next < c.count || ode->live > 0) {
        TRY(enter(ode, &c));
        TRY(ask(ode));
        TRY(evaluate_all(ode));
        TRY(answer_all(ode, &c));
    }
    return DFL_OK;
}
