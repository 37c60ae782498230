/* The executor: rows in, states out. It stops at each evaluation, so that whoever owns the loop can
   answer it; where it stopped stands in run->now. Nothing is allocated here. */
#include "run/run.h"

#include <math.h>
#include <string.h>

static size_t numbers(const dfl_run *run, val v) {
    return run->plan->code.comp[v] * run->dim;
}

void *exec_value(const dfl_run *run, val v) {
    const size_t slot = (size_t)run->plan->slot[v];
    return run->slots + slot * run->batch * run->stride * vec_size(run->type);
}

/* Where sample i of the batch begins in a value. */
static void *sample_of(const dfl_run *run, void *value, size_t i) {
    return (char *)value + i * run->stride * vec_size(run->type);
}

static val source(const dfl_run *run, const row *r, size_t j) {
    return run->plan->code.terms[r->src + j].v;
}

dfl_status run_draw(const dfl_run *run, int kind, uint32_t draw, uint64_t sample, size_t n,
                    double *dst) {
    if (run->noise) {
        const int code = run->noise(run->noise_user, kind, draw, sample, 1, n, dst);
        if (code)
            return fail(code, "the noise source returned %d (kind %d, draw %u)", code, kind, draw);
        for (size_t i = 0; i < n; i++)
            if (!isfinite(dst[i]))
                return fail(DFL_E_NONFINITE,
                            "the noise source gave a number that is not finite (kind %d, draw %u, "
                            "sample %llu)",
                            kind, draw, (unsigned long long)sample);
        if (kind == DFL_DRAW_PICK && !(*dst >= 0 && *dst < 1))
            return fail(
                DFL_E_RANGE,
                "the noise source gave %g as a pick (draw %u, sample %llu); a uniform number "
                "in [0, 1) is needed",
                *dst, draw, (unsigned long long)sample);
        return DFL_OK;
    }
    if (kind == DFL_DRAW_PICK)
        *dst = noise_uniform(run->seed, kind, draw, sample);
    else
        noise_normals(run->seed, kind, draw, sample, 0, n, dst);
    return DFL_OK;
}

/* Values narrower than their slot are copied so that the other side sees dense arrays. */
static void pack(const dfl_run *run, char *dense, void *value, size_t n, size_t count) {
    const size_t bytes = n * vec_size(run->type);
    for (size_t i = 0; i < count; i++) memcpy(dense + i * bytes, sample_of(run, value, i), bytes);
}

static void unpack(const dfl_run *run, void *value, const char *dense, size_t n, size_t count) {
    const size_t bytes = n * vec_size(run->type);
    for (size_t i = 0; i < count; i++) memcpy(sample_of(run, value, i), dense + i * bytes, bytes);
}

static void ask(dfl_run *run, const row *r) {
    const val src = source(run, r, 0);
    const size_t in = numbers(run, src), out = numbers(run, r->dst);
    const bool dense_in = in == run->stride, dense_out = out == run->stride;
    if (!dense_in) pack(run, run->input, exec_value(run, src), in, run->now.count);
    run->now.request = (dfl_request){
        .count = run->now.count,
        .input_dim = in,
        .output_dim = out,
        .dtype = run->type,
        .input = dense_in ? exec_value(run, src) : run->input,
        .output = dense_out ? exec_value(run, r->dst) : run->output,
        .t = r->t,
        .tau = r->tau,
        .at = r->at,
        .gives = r->gives,
        .components = run->plan->code.components,
        .output_components = run->plan->code.comp[r->dst],
        .first = run->now.first,
        .labels = run->model->card.classes ? run->labels : NULL,
    };
}

dfl_status exec_answered(dfl_run *run) {
    const row *r = &run->plan->code.rows[run->now.pc++];
    const size_t n = run->now.request.output_dim, bytes = n * vec_size(run->type);
    const char *output = run->now.request.output;
    if (!vec_is_finite(run->type, output, n * run->now.count)) {
        size_t i = 0;
        while (vec_is_finite(run->type, output + i * bytes, n)) i++;
        return fail(
            DFL_E_NONFINITE,
            "the network's output is not finite in step %zu of %zu, at t = %.6g (sample %llu)",
            run->now.step + 1, run->plan->steps, r->t, (unsigned long long)(run->now.first + i));
    }
    if (n != run->stride) unpack(run, exec_value(run, r->dst), output, n, run->now.count);
    return DFL_OK;
}

static void combine(const dfl_run *run, const row *r) {
    lin_job job = {.type = run->type,
                   .count = run->now.count,
                   .stride = run->stride,
                   .dim = run->dim,
                   .dst = exec_value(run, r->dst),
                   .components = run->plan->code.comp[r->dst],
                   .n = r->nsrc,
                   .terms = run->plan->code.terms + r->src};
    for (size_t j = 0; j < r->nsrc; j++) {
        job.src[j] = exec_value(run, source(run, r, j));
        job.from[j] = run->plan->code.comp[source(run, r, j)];
    }
    lin_run(&job);
}

static dfl_status draw_noise(const dfl_run *run, const row *r) {
    const size_t n = numbers(run, r->dst);
    for (size_t i = 0; i < run->now.count; i++) {
        TRY(run_draw(run, DFL_DRAW_NOISE, r->draw, run->now.first + i, n, run->scratch));
        vec_from_double(run->type, sample_of(run, exec_value(run, r->dst), i), run->scratch, n);
    }
    return DFL_OK;
}

static dfl_status mix_samples(const dfl_run *run, const row *r) {
    if (!run->mix)
        return fail(DFL_E_ARG, "the noise source was changed by a callback of the run; the tables "
                               "of mixture kernels came from the one before");
    const size_t n = numbers(run, r->dst);
    for (size_t i = 0; i < run->now.count; i++) {
        double u;
        TRY(run_draw(run, DFL_DRAW_PICK, r->draw, run->now.first + i, 1, &u));
        if (r->nsrc)
            vec_to_double(run->type, run->scratch,
                          sample_of(run, exec_value(run, source(run, r, 0)), i), n);
        mix_apply(run->mix, r->index, u, run->scratch);
        vec_from_double(run->type, sample_of(run, exec_value(run, r->dst), i), run->scratch, n);
    }
    return DFL_OK;
}

/* CLIP, LIMIT, GIVEN, SELECT: sample by sample. */
static dfl_status apply_by_sample(const dfl_run *run, const row *r) {
    const size_t n = numbers(run, r->dst);
    if (r->op == ROW_GIVEN && !run->given[r->index])
        return fail(DFL_E_ARG, "the plan needs a tensor \"%s\"; give it with dfl_run_given",
                    run->plan->code.names[r->index]);
    for (size_t i = 0; i < run->now.count; i++) {
        void *dst = sample_of(run, exec_value(run, r->dst), i);
        const void *src[3] = {0};
        for (size_t j = 0; j < r->nsrc; j++)
            src[j] = sample_of(run, exec_value(run, source(run, r, j)), i);
        if (r->op == ROW_CLIP) vec_clip(run->type, dst, src[0], n, r->lo, r->hi);
        if (r->op == ROW_SELECT) vec_select(run->type, dst, src, n);
        if (r->op == ROW_GIVEN) memcpy(dst, run->given[r->index], n * vec_size(run->type));
        if (r->op == ROW_LIMIT) {
            const double s = fmax(r->hi, vec_quantile(run->type, src[0], n, r->lo, run->scratch));
            vec_clip(run->type, dst, src[0], n, -s, s);
            vec_to_double(run->type, run->scratch, dst, n);
            for (size_t k = 0; k < n; k++) run->scratch[k] /= s;
            vec_from_double(run->type, dst, run->scratch, n);
        }
    }
    return DFL_OK;
}

/* Tells the observer that value v is the state at t. */
static dfl_status observe(const dfl_run *run, val v, double t) {
    if (!run->observe) return DFL_OK;
    const size_t n = numbers(run, v);
    void *state = exec_value(run, v);
    if (n != run->stride) {
        pack(run, run->input, state, n, run->now.count);
        state = run->input;
    }
    const int code = run->observe(run->observe_user, run->now.step, run->plan->steps, t,
                                  run->now.first, run->now.count, state);
    return code ? fail(code, "the observer returned %d at step %zu", code, run->now.step) : DFL_OK;
}

static dfl_status perform(dfl_run *run, const row *r) {
    switch (r->op) {
    case ROW_LIN: combine(run, r); return DFL_OK;
    case ROW_NOISE: return draw_noise(run, r);
    case ROW_MIX: return mix_samples(run, r);
    case ROW_STEP: run->now.step++; return observe(run, source(run, r, 0), r->t);
    default: return apply_by_sample(run, r);
    }
}

dfl_status exec_next(dfl_run *run, const dfl_request **request) {
    const program *code = &run->plan->code;
    execution *const now = &run->now;
    *request = NULL;
    if (now->pc == 0) TRY(observe(run, code->inputs[0].id, code->inputs[0].t));
    for (; now->pc < code->nrows; now->pc++) {
        if (atomic_load(&run->cancelled))
            return fail(DFL_E_STOPPED, "cancelled in step %zu of %zu", now->step + 1,
                        run->plan->steps);
        const row *r = &code->rows[now->pc];
        if (r->op == ROW_EVAL) {
            ask(run, r);
            *request = &now->request;
            return DFL_OK;
        }
        TRY(perform(run, r));
    }
    return DFL_OK;
}
