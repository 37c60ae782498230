/* What one step of a sampler costs besides the network: bench_steps PASSES, one JSON object to stdout.
 *
 * The denoiser copies ready-made numbers, which is the least a network does. A step's cost is the slope
 * between a run of 10 steps and one of 50, so that start and end of a run do not count; each length is
 * timed PASSES times, the least time counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "driftless/driftless.h"

enum { FEW = 10, MANY = 50 };

typedef struct {
    const char *name;
    size_t count, dim;
    int loops; /* runs in one timing, so that the clock's grain does not count */
} shape;

static const shape shapes[] = {
    {"1x2", 1, 2, 2000}, {"1x3x32x32", 1, 3 * 32 * 32, 200}, {"64x3x32x32", 64, 3 * 32 * 32, 3}};
static const char *const solvers[] = {"ddim", "deis:kind=lograb,order=2", "deis:order=3",
                                      "dpm:order=3", "unipc:order=3"};

typedef struct {
    float *answer, *start, *samples;
} buffers;

static int copy(void *user, const dfl_request *request) {
    const float *answer = user;
    memcpy(dfl_request_output(request), answer,
           dfl_request_count(request) * dfl_request_output_dim(request) * sizeof *answer);
    return 0;
}

/* Seconds of one run of that many steps, or a negative number. */
static double seconds(dfl_model *model, const char *solver, const shape *s, int steps, buffers b) {
    char spec[128], options[64];
    snprintf(spec, sizeof spec, "solver=%s grid=logsnr steps=%d t_end=1e-3", solver, steps);
    snprintf(options, sizeof options, "batch=%zu", s->count);
    dfl_plan *plan = NULL;
    dfl_run *run = NULL;
    dfl_status status = dfl_plan_new(model, spec, &plan);
    if (!status) status = dfl_run_new(plan, model, options, &run);
    double spent = -1;
    if (!status) status = dfl_run_sample(run, 0, s->count, NULL, b.start, b.samples);
    if (!status) {
        const double began = seconds_now();
        for (int i = 0; i < s->loops && !status; i++)
            status = dfl_run_sample(run, 0, s->count, NULL, b.start, b.samples);
        spent = (seconds_now() - began) / s->loops;
    }
    if (status) fprintf(stderr, "%s: %s\n", spec, dfl_last_message());
    dfl_run_free(run);
    dfl_plan_free(plan);
    return status ? -1 : spent;
}

static double least(dfl_model *model, const char *solver, const shape *s, int steps, buffers b,
                    int passes) {
    double best = -1;
    for (int i = 0; i < passes; i++) {
        const double spent = seconds(model, solver, s, steps, b);
        if (spent < 0) return -1;
        if (best < 0 || spent < best) best = spent;
    }
    return best;
}

static int measure(const shape *s, int passes) {
    char card[512];
    snprintf(card, sizeof card,
             "{\"format\": \"driftless-model/1\", \"name\": \"copies\", \"prediction_type\": "
             "\"epsilon\","
             " \"process\": {\"type\": \"vp_linear\"}, \"sample\": {\"shape\": [%zu]}}",
             s->dim);
    const size_t n = s->count * s->dim;
    buffers b = {malloc(n * sizeof(float)), malloc(n * sizeof(float)), malloc(n * sizeof(float))};
    dfl_model *model = NULL;
    int failed = !b.answer || !b.start || !b.samples;
    for (size_t i = 0; !failed && i < n; i++) {
        b.answer[i] = (float)(i % 7) - 3.0f;
        b.start[i] = (float)(i % 11) / 5.0f - 1.0f;
    }
    if (!failed) failed = dfl_model_callback(card, copy, b.answer, &model) != DFL_OK;
    if (failed) fprintf(stderr, "%s: %s\n", s->name, dfl_last_message());
    for (size_t k = 0; !failed && k < sizeof solvers / sizeof *solvers; k++) {
        const double few = least(model, solvers[k], s, FEW, b, passes),
                     many = least(model, solvers[k], s, MANY, b, passes);
        failed = few < 0 || many < 0;
        printf("{\"shape\": \"%s\", \"solver\": \"%s\", \"microseconds\": %.4f}\n", s->name,
               solvers[k], (many - few) / (MANY - FEW) * 1e6);
    }
    dfl_model_free(model);
    free(b.answer);
    free(b.start);
    free(b.samples);
    return failed;
}

int main(int argc, char **argv) {
    const int passes = argc > 1 ? atoi(argv[1]) : 5;
    int failed = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        failed |= measure(&shapes[i], passes);
    return failed;
}
