/* The run itself: memory, start states, sink and trajectory are set up, then the samples are drawn
   chunk by chunk and handed to the sink. */
#include "sample.h"
#include "start.h"
#include "stop.h"

enum { CHUNK_BYTES = 64 << 20, CHUNK_MAX = 4096 };

static int watch(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                 const void *state) {
    job *j = user;
    (void)steps;
    if (stop_requested()) return WATCH_STOPPED;
    if (step > 0) progress_add(&j->bar, count);
    trajectory_add(&j->track, step, t, first, count, state);
    return 0;
}

static dfl_status open_plan(job *j, const char *options) {
    TRY(dfl_run_new(j->plan, j->model, options, &j->run));
    dfl_run_observe(j->run, watch, j);
    if (j->noise.path || j->noise.saving) dfl_run_noise(j->run, draw_numbers, &j->noise);
    return DFL_OK;
}

static dfl_status open_run(job *j) {
    text options = {0};
    dfl_status status = DFL_OK;
    text_add(&options, "seed=%llu,dtype=%s", (unsigned long long)j->seed,
             j->dtype == DFL_FLOAT64 ? "float64" : "float32");
    if (arg_given(j->args, "batch")) text_add(&options, ",batch=%s", job_text(j, "batch"));
    start_options(j->args, ",", &options);
    if (options.failed)
        status = fail_memory();
    else
        status = j->adaptive ? adaptive_open(j, options.data) : open_plan(j, options.data);
    text_free(&options);
    return status;
}

/* Whole batches, and boundaries at multiples of the chunk in absolute index, so that no network
   call is padded in the middle of a run. */
static void choose_chunk(job *j, size_t row) {
    const size_t batch = (size_t)job_int(j, "batch", 64);
    size_t chunk = row > 0 ? CHUNK_BYTES / row : CHUNK_MAX;
    if (chunk > CHUNK_MAX) chunk = CHUNK_MAX;
    j->chunk = chunk < batch ? batch : chunk - chunk % batch;
}

static dfl_status open_sink(job *j) {
    static const char *const keys[PICTURE_TEXTS] = {"Software", "Title", "Description"};
    const char *solver = j->adaptive ? job_text(j, "solver") : job_meta(j, "solver");
    const char *name = j->model->card.name;
    text_add(&j->software, "driftless %s", dfl_version());
    if (j->software.failed) return fail_memory();
    j->picture_texts[0] = j->software.data;
    j->picture_texts[1] = name ? name : "";
    j->picture_texts[2] = solver ? solver : "";
    const output_wish wish = {.path = j->output,
                              .card = &j->model->card,
                              .type = j->type,
                              .first = j->first,
                              .count = j->count,
                              .columns = (size_t)job_int(j, "columns", 0),
                              .as_float = arg_given(j->args, "float"),
                              .label = j->labelled ? &j->label : NULL,
                              .keys = keys,
                              .values = j->picture_texts,
                              .ntext = PICTURE_TEXTS};
    return sink_open(&wish, &j->sink);
}

int job_components(const job *j) {
    return j->adaptive ? dfl_ode_components(j->ode) : dfl_plan_components(j->plan);
}

double job_model_seconds(const job *j) {
    return j->adaptive ? dfl_ode_model_seconds(j->ode) : dfl_run_model_seconds(j->run);
}

dfl_status job_prepare(job *j) {
    const size_t dim = dfl_model_dim(j->model), item = array_type_size(j->type);
    TRY(open_run(j));
    const size_t state = dim * (size_t)job_components(j);
    if (j->init.data) TRY(init_convert(job_text(j, "init"), &j->init, j->count, state, j->dtype));
    choose_chunk(j, mem_product(dim, item, 1));
    const size_t held = j->chunk < j->count ? j->chunk : j->count;
    j->samples = mem_array(held, mem_product(dim, item, 1));
    if (!j->samples) return fail_memory();
    if (j->adaptive) TRY(adaptive_reserve(j, held));
    if (j->labelled) {
        j->labels = mem_array(held, sizeof *j->labels);
        if (!j->labels) return fail_memory();
        for (size_t i = 0; i < held; i++) j->labels[i] = j->label;
    }
    if (arg_given(j->args, "trajectory"))
        TRY(trajectory_open(&j->track, dfl_plan_steps(j->plan), j->count, state * item, j->first));
    return open_sink(j);
}

static dfl_status draw_chunk(job *j, size_t done, size_t n) {
    const size_t item = array_type_size(j->type);
    const size_t state = dfl_model_dim(j->model) * (size_t)job_components(j) * item;
    const char *start = j->init.data ? (const char *)j->init.data + done * state : NULL;
    const double began = seconds_now();
    const dfl_status status =
        j->adaptive ? adaptive_draw(j, done, n, start)
                    : dfl_run_sample(j->run, j->first + done, n, j->labels, start, j->samples);
    const double drawn = seconds_now();
    j->seconds[TIME_SAMPLE] += drawn - began;
    if (status == WATCH_STOPPED) return fail(DFL_E_STOPPED, "interrupted");
    if (status == NOISE_FAILED) return fail(DFL_E_FORMAT, "%s", j->noise.message);
    TRY(status);
    TRY(sink_add(j->sink, j->samples, n));
    j->seconds[TIME_WRITE] += seconds_now() - drawn;
    return DFL_OK;
}

dfl_status job_draw(job *j) {
    dfl_status status = DFL_OK;
    progress_start(&j->bar, !arg_given(j->args, "quiet"), j->count,
                   j->adaptive ? ADAPTIVE_SHARES : dfl_plan_steps(j->plan));
    stop_target(j->run);
    for (size_t done = 0; status == DFL_OK && done < j->count;) {
        const size_t whole = j->chunk - (size_t)((j->first + done) % j->chunk);
        const size_t n = whole < j->count - done ? whole : j->count - done;
        status = stop_requested() ? fail(DFL_E_STOPPED, "interrupted") : draw_chunk(j, done, n);
        done += n;
    }
    stop_target(NULL);
    progress_end(&j->bar);
    return status;
}
