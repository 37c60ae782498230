/* Life of a run, its memory, and the loop over batches, which stops wherever the executor does. */
#include "run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const opt_row options[] = {
    {"seed", OPT_TEXT, "0", 0, 0, NULL, "seed of all random numbers, 0 to 2^64 - 1"},
    {"dtype", OPT_CHOICE, "float32", 0, 0, "float32|float64", "type of the states"},
    {"batch", OPT_INT, "64", 1, 1 << 20, NULL, "samples held in memory at once"},
    {"prior", OPT_TEXT, NULL, 0, 0, NULL, "file of the density that start states come from"},
    {"prior_map", OPT_CHOICE, "draw", 0, 0, "draw|flow", "draws from it, or its flow map"},
    {"data_moments", OPT_TEXT, NULL, 0, 0, NULL, ".npz of the data's mean mu and covariance sigma"},
    {0},
};

static dfl_status read_seed(const char *digits, uint64_t *seed) {
    if (text_to_u64(digits, seed)) return DFL_OK;
    return fail(DFL_E_RANGE, "run: seed=%.40s; a whole number from 0 to 2^64 - 1 is needed",
                digits);
}

/* A path of its own, for the options go. */
static dfl_status keep_text(const opts *o, const char *key, char **out) {
    const char *const given = opt_text(o, key);
    *out = given ? text_copy(given) : NULL;
    return *out || !given ? DFL_OK : fail_memory();
}

dfl_status run_read_settings(const char *text_options, run_settings *out) {
    opts o;
    *out = (run_settings){0};
    dfl_status status = opts_parse("run", options, text_options ? text_options : "", &o);
    if (status == DFL_OK) status = read_seed(opt_text(&o, "seed"), &out->seed);
    if (status == DFL_OK) {
        out->type = opt_choice(&o, "dtype") == 0 ? DFL_FLOAT32 : DFL_FLOAT64;
        out->batch = (size_t)opt_int(&o, "batch");
        out->start.map = opt_choice(&o, "prior_map");
        status = keep_text(&o, "prior", &out->start.prior);
    }
    if (status == DFL_OK) status = keep_text(&o, "data_moments", &out->start.moments);
    opts_free(&o);
    return status;
}

void run_settings_free(run_settings *set) {
    free(set->start.prior);
    free(set->start.moments);
    set->start.prior = set->start.moments = NULL;
}

static bool fits_scalar(const netform *f, const row *r) {
    double cx, cn;
    netform_gives(f, r->at.a[0], r->at.b[0], &cx, &cn);
    const double off = fabs(cx - r->gives.cx[0]) + fabs(cn - r->gives.cn[0]);
    return off <= 1e-6 * (1 + fabs(cn));
}

/* In phase space epsilon is n and the score -b^-T n. What epsilon is given both, x_0 and m_0,
   depends on the process, which the rows of a plan do not tell. */
static bool fits_phase(const netform *f, const row *r) {
    const int lines = f->half == NET_BOTH ? 2 : 1, first = f->half == NET_M ? 1 : 0;
    const double *b = r->at.b;
    if (f->predicts == PRED_EPSILON && f->matching == MATCH_DENOISING) return true;
    for (int i = 0; i < lines; i++)
        for (int j = 0; j < 2; j++) {
            const double *cn = r->gives.cn + 2 * i, right = j == first + i ? 1 : 0;
            const double score = -(cn[0] * b[2 * j] + cn[1] * b[2 * j + 1]);
            const double found = f->predicts == PRED_SCORE ? score : cn[j];
            if (!(fabs(found - right) <= 1e-6)) return false;
        }
    return true;
}

/* The plan converts the raw output by `gives`; a network that predicts something else would give
   plausible nonsense. Preconditioned plans carry scalings of their own, and in phase space a card
   that does not speak of it is that of a mixture, which answers whatever it is asked. */
static dfl_status check_pair(const dfl_plan *plan, const dfl_model *model) {
    const program *code = &plan->code;
    if (code->ninputs != 1)
        return fail(DFL_E_COMBINATION, "the plan has %zu inputs; a run starts from exactly one",
                    code->ninputs);
    const netform *form = &model->card.form;
    if (form->precond != PRECOND_NONE || code->components > model->card.components) return DFL_OK;
    for (size_t i = 0; i < code->nrows; i++) {
        const row *r = &code->rows[i];
        if (r->op != ROW_EVAL) continue;
        if (!(code->components == 1 ? fits_scalar(form, r) : fits_phase(form, r)))
            return fail(DFL_E_COMBINATION,
                        "the plan expects a network of another prediction type than this model's "
                        "card says (row %zu)",
                        i);
    }
    return DFL_OK;
}

/* All the memory a run needs; nothing is allocated while it samples, but by starts of their own. */
static dfl_status allocate(dfl_run *run) {
    const size_t size = vec_size(run->type), wide = run->stride;
    const size_t slot = mem_product(run->batch, wide, size);
    const size_t total = mem_product(slot, run->plan->nslots, 1);
    if (total == SIZE_MAX) return fail_memory();
    run->slots = mem_array(total, 1);
    run->labels = mem_array(run->batch, sizeof *run->labels);
    run->scratch = mem_array(wide, sizeof *run->scratch);
    run->given = mem_array(run->plan->code.nnames, sizeof *run->given);
    const bool gaps = run->plan->widest != 1;
    if (gaps) run->input = mem_array(slot, 1);
    if (gaps) run->output = mem_array(slot, 1);
    const bool ok = run->slots && run->labels && run->scratch && run->given &&
                    (!gaps || (run->input && run->output));
    return ok ? DFL_OK : fail_memory();
}

static dfl_status open_start(dfl_run *run, const start_wish *wish) {
    const plan_input *in = &run->plan->code.inputs[0];
    const start_place at = {.card = &run->model->card,
                            .process = run->plan->meta.process,
                            .components = run->plan->code.components,
                            .t = in->t,
                            .a = in->at.a[0],
                            .b = in->at.b[0],
                            .scale = in->scale};
    return start_open(wish, &at, &run->start);
}

dfl_status dfl_run_new(const dfl_plan *plan, dfl_model *model, const char *text_options,
                       dfl_run **out) {
    if (!out) return fail(DFL_E_ARG, "dfl_run_new: out is NULL");
    *out = NULL;
    if (!plan || !model) return fail(DFL_E_ARG, "dfl_run_new: plan and model must not be NULL");
    run_settings set;
    dfl_run *run = NULL;
    dfl_status status = run_read_settings(text_options, &set);
    if (status == DFL_OK) status = check_pair(plan, model);
    if (status == DFL_OK) {
        run = mem_array(1, sizeof *run);
        if (!run) status = fail_memory();
    }
    if (status == DFL_OK) {
        run->plan = plan;
        run->model = model;
        run->seed = set.seed;
        run->type = set.type;
        run->batch = set.batch;
        run->dim = card_dim(&model->card);
        run->stride = (size_t)plan->widest * run->dim;
        status = allocate(run);
    }
    if (status == DFL_OK) status = open_start(run, &set.start);
    run_settings_free(&set);
    if (status != DFL_OK)
        dfl_run_free(run);
    else
        *out = run;
    return status;
}

void dfl_run_free(dfl_run *run) {
    if (!run) return;
    free(run->slots);
    free(run->input);
    free(run->output);
    free(run->labels);
    free(run->scratch);
    free(run->given);
    start_free(run->start);
    mix_free(run->mix);
    free(run);
}

void dfl_run_observe(dfl_run *run, dfl_observe_fn fn, void *user) {
    run->observe = fn;
    run->observe_user = user;
}

void dfl_run_noise(dfl_run *run, dfl_noise_fn fn, void *user) {
    run->noise = fn;
    run->noise_user = user;
    mix_free(run->mix); /* its tables came from the old source */
    run->mix = NULL;
    run->order.open = false; /* what is in progress would miss them */
}

void dfl_run_cancel(dfl_run *run) {
    atomic_store(&run->cancelled, 1);
}

dfl_status dfl_run_given(dfl_run *run, const char *name, const void *values) {
    if (!run || !name) return fail(DFL_E_ARG, "dfl_run_given: run and name must not be NULL");
    for (size_t i = 0; i < run->plan->code.nnames; i++)
        if (strcmp(run->plan->code.names[i], name) == 0) {
            run->given[i] = values;
            return DFL_OK;
        }
    return fail(DFL_E_KEY, "dfl_run_given: the plan asks for no tensor \"%.80s\"", name);
}

double dfl_run_model_seconds(const dfl_run *run) {
    return run->model_seconds;
}

dfl_status dfl_run_start(const dfl_run *run, char *buf, size_t cap, size_t *need) {
    text out = {0};
    if (!run) return fail(DFL_E_ARG, "dfl_run_start: run is NULL");
    TRY(start_json(run->start, &out));
    return text_result(&out, buf, cap, need);
}

/* A sample without a label gets class i mod C. */
static void set_labels(const dfl_run *run, const int64_t *labels) {
    const int64_t classes = run->model->card.classes;
    for (size_t i = 0; i < run->now.count && classes; i++)
        run->labels[i] = labels ? labels[i] : (int64_t)((run->now.first + i) % (uint64_t)classes);
}

static dfl_status start_numbers(void *user, uint64_t sample, size_t n, double *z) {
    return run_draw(user, DFL_DRAW_START, 0, sample, n, z);
}

static dfl_status own_start(dfl_run *run, size_t i, size_t n, void *sample) {
    const int64_t label = run->model->card.classes ? run->labels[i] : -1;
    const start_key key = {run->seed, run->now.first + i, label};
    TRY(start_state(run->start, &key, start_numbers, run, run->scratch));
    vec_from_double(run->type, sample, run->scratch, n);
    return DFL_OK;
}

/* The batch's start states: given, of a prior, or the input's scale times standard normals. */
static dfl_status set_start(dfl_run *run, const char *start) {
    const plan_input *in = &run->plan->code.inputs[0];
    const size_t n = run->plan->code.comp[in->id] * run->dim, size = vec_size(run->type);
    char *slot = exec_value(run, in->id);
    const uint8_t components = run->plan->code.comp[in->id];
    for (size_t i = 0; i < run->now.count; i++) {
        char *sample = slot + i * run->stride * size;
        if (start) {
            memcpy(sample, start + i * n * size, n * size);
            continue;
        }
        if (start_is_own(run->start)) {
            TRY(own_start(run, i, n, sample));
            continue;
        }
        TRY(run_draw(run, DFL_DRAW_START, 0, run->now.first + i, n, run->scratch));
        vec_from_double(run->type, sample, run->scratch, n);
        const term scale = {in->id, in->scale};
        lin_job job = {.type = run->type,
                       .count = 1,
                       .stride = run->stride,
                       .dim = run->dim,
                       .dst = sample,
                       .components = components,
                       .n = 1,
                       .src = {sample},
                       .from = {components},
                       .terms = &scale};
        if (!blk_is_one(in->scale)) lin_run(&job);
    }
    return DFL_OK;
}

static dfl_status table_normals(void *user, uint32_t table, size_t n, double *dst) {
    return run_draw(user, DFL_DRAW_TABLE, table, 0, n, dst);
}

static dfl_status prepare(dfl_run *run) {
    if (run->mix || run->plan->code.nkernels == 0) return DFL_OK;
    const size_t dim = (size_t)run->plan->code.components * run->dim;
    return mix_new(run->plan, dim, table_normals, run, &run->mix);
}

/* ---- the loop, whoever owns it --------------------------------------------------------------- */

dfl_status dfl_run_begin(dfl_run *run, uint64_t first, size_t count, const int64_t *labels,
                         const void *start, void *samples) {
    if (run) run->order.open = false; /* whatever was in progress is abandoned */
    if (!run || (!samples && count))
        return fail(DFL_E_ARG, "a run and room for its samples are needed, but %s is NULL",
                    run ? "samples" : "run");
    if (first > UINT64_MAX - count)
        return fail(DFL_E_RANGE, "first + count of the samples to draw is above 2^64 - 1");
    TRY(card_check_labels(&run->model->card, labels, count));
    atomic_store(&run->cancelled, 0);
    TRY(prepare(run));
    run->order = (run_order){.open = true,
                             .first = first,
                             .count = count,
                             .labels = labels,
                             .start = start,
                             .samples = samples};
    run->now.count = 0;
    return DFL_OK;
}

static dfl_status begin_batch(dfl_run *run) {
    const run_order *order = &run->order;
    const size_t left = order->count - order->done;
    execution now = {.first = order->first + order->done};
    /* batches end at multiples of the batch size, so that few network calls are padded */
    now.count = run->batch - (size_t)(now.first % run->batch);
    if (now.count > left) now.count = left;
    run->now = now;
    const size_t state = (size_t)run->plan->code.components * run->dim * vec_size(run->type);
    set_labels(run, order->labels ? order->labels + order->done : NULL);
    return set_start(run, order->start ? order->start + order->done * state : NULL);
}

static dfl_status end_batch(dfl_run *run) {
    const size_t size = vec_size(run->type);
    const char *value = exec_value(run, run->plan->code.outputs[0]);
    for (size_t i = 0; i < run->now.count; i++) { /* in phase space the momentum stays behind */
        const char *x = value + i * run->stride * size;
        if (!vec_is_finite(run->type, x, run->dim))
            return fail(DFL_E_NONFINITE, "sample %llu is not finite after the last step",
                        (unsigned long long)(run->now.first + i));
        memcpy(run->order.samples + (run->order.done + i) * run->dim * size, x, run->dim * size);
    }
    run->order.done += run->now.count;
    run->now.count = 0;
    return DFL_OK;
}

static dfl_status go_on(dfl_run *run, const dfl_request **request) {
    run_order *const order = &run->order;
    if (order->asked) TRY(exec_answered(run));
    order->asked = false;
    while (run->now.count > 0 || order->done < order->count) {
        if (run->now.count == 0) TRY(begin_batch(run));
        TRY(exec_next(run, request));
        order->asked = *request != NULL;
        if (order->asked) return DFL_OK;
        TRY(end_batch(run));
    }
    return DFL_OK;
}

dfl_status dfl_run_next(dfl_run *run, const dfl_request **request) {
    if (!request) return fail(DFL_E_ARG, "dfl_run_next: request is NULL");
    *request = NULL;
    if (!run || !run->order.open)
        return fail(DFL_E_ARG, run ? "dfl_run_next: nothing is in progress; dfl_run_begin comes "
                                     "first, and again after the end or a failure"
                                   : "dfl_run_next: run is NULL");
    const dfl_status status = go_on(run, request);
    if (status != DFL_OK) *request = NULL;
    run->order.open = *request != NULL;
    return status;
}

dfl_status dfl_run_sample(dfl_run *run, uint64_t first, size_t count, const int64_t *labels,
                          const void *start, void *samples) {
    const dfl_request *request = NULL;
    TRY(dfl_run_begin(run, first, count, labels, start, samples));
    TRY(dfl_run_next(run, &request));
    while (request) {
        const double begin = seconds_now();
        const int code = run->model->eval(run->model, request);
        run->model_seconds += seconds_now() - begin;
        if (code) run->order.open = false;
        TRY(code);
        TRY(dfl_run_next(run, &request));
    }
    return DFL_OK;
}

size_t step_share(size_t evaluations, size_t step, size_t steps) {
    if (steps == 0 || step == 0) return 0;
    return evaluations * step / steps - evaluations * (step - 1) / steps;
}
