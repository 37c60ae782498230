/* "driftless likelihood": bits per dimension of data under a model, by the probability flow or by the
   variational bound; interrupted, it goes on where it was when the same command is given again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "images.h"
#include "io/io.h"
#include "output.h"
#include "spec.h"
#include "start.h"
#include "stop.h"

static int run_likelihood(const args *a);

/* clang-format off */
static const arg_row table[] = {
    {'o', "output", NULL, "FILE", NULL,
     "values of each image: .npz, or .npy of bits/dim alone; makes a run one to go on from", ARG_OUTPUT,
     0, 0},
    {'n', "count", NULL, "N", "all", "images, from --first on", ARG_INT, 1, 1e9},
    {0, "first", NULL, "INDEX", "0", "index of the first image", ARG_INT, 0, 1e9},
    {0, "method", NULL, "flow|bound", "flow",
     "probability flow, or variational bound of discrete steps", ARG_CHOICE, 0, 0},
    {0, "process", NULL, "TEXT", "the card's", "forward process and its options", ARG_TEXT, 0, 0},
    {0, "t-start", NULL, "T", "that of --prior, or the card's t_max", "time of the start density", ARG_REAL, 0, 1},
    {0, "prior", NULL, "standard|exact|FILE", "standard",
     "density at T: of plain noise, a mixture's own, or that of a file (driftless prior)", ARG_FILE, 0, 0},
    {0, "draws", NULL, "N", "1", "repetitions with other random numbers, averaged", ARG_INT, 1, 4096},
    {0, "steps", NULL, "N", "50; bound: those of the table, or 1000", "steps, or times of the bound",
     ARG_INT, 1, 1e5},
    {0, "t-end", NULL, "T", "flow: the card's t_min, mixtures: 1e-5", "flow: time of the data; bound: smallest time t_1", ARG_REAL, 0,
     1},
    {0, "solver", "sampling-method", "rk4|heun|ode45", "rk4", "flow: fixed steps, or adaptive ones",
     ARG_CHOICE, 0, 0},
    {0, "form", NULL, "sigma|t", "sigma", "flow: equal steps of ln sigma, or of t", ARG_CHOICE, 0, 0},
    {0, "trace", NULL, "exact|rademacher|gaussian|hadamard", "exact to 64 numbers, else rademacher",
     "flow: probes of the trace", ARG_CHOICE, 0, 0},
    {0, "probes", NULL, "M", "1", "flow: probes of each image", ARG_INT, 1, 1 << 16},
    {0, "derivative", NULL, "auto|central", "auto",
     "flow: the model's JVP graph where it has one, or central differences", ARG_CHOICE, 0, 0},
    {0, "fd-step", NULL, "H", "0.01", "flow: central differences over H b(t)", ARG_REAL, 1e-8, 1},
    {0, "rtol", NULL, "E", "1e-5", "flow, ode45: relative tolerance", ARG_REAL, 1e-14, 1},
    {0, "atol", NULL, "E", "1e-5", "flow, ode45: absolute tolerance", ARG_REAL, 1e-16, 1},
    {0, "max-nfe", NULL, "N", "10000", "flow, ode45: slopes before an image is given up", ARG_INT, 8,
     1e9},
    {0, "scaling", NULL, "255|256", "255",
     "flow: levels y + u were put over the range as (y + u - 1/2)/255, or (y + u)/256", ARG_CHOICE, 0,
     0},
    {0, "grid", "scheduler", "TEXT", "uniform", "bound: time grid and its options", ARG_TEXT, 0, 0},
    {0, "variance", NULL, "be|vq", "be", "bound: variance of reverse steps, beta or the posterior's",
     ARG_CHOICE, 0, 0},
    {0, "terms", NULL, "M", "all", "bound: evaluate M of the terms, an unbiased choice", ARG_INT, 1,
     1e5},
    {0, "clip-denoised", NULL, NULL, NULL, "bound: clip predicted data to the card's range", ARG_FLAG,
     0, 0},
    {0, "labels", NULL, "FILE", NULL, "classes of the images, .npy of int64", ARG_FILE, 0, 0},
    {'c', "class", NULL, "C", "null", "class of all images: index, name, or null", ARG_TEXT, 0, 0},
    {'g', "guidance", NULL, "W", NULL, "classifier-free guidance; 1 is none", ARG_REAL, -1e3, 1e3},
    {'s', "seed", NULL, "S", "0", "seed of all random numbers", ARG_INT, 0, 9e15},
    {'t', "threads", NULL, "T", "all cores", "threads of the network", ARG_INT, 0, 1024},
    {0, "batch", NULL, "B", "16", "images at once; no influence on results", ARG_INT, 1, 1 << 20},
    {0, "latents", NULL, "FILE", NULL, "flow: keep the states at T (.npy)", ARG_OUTPUT, 0, 0},
    {0, "json", NULL, "FILE", NULL, "save a record; - writes it to standard output", ARG_OUTPUT, 0, 0},
    {'q', "quiet", NULL, NULL, NULL, "no progress and no summary", ARG_FLAG, 0, 0},
    ROWS_END};
/* clang-format on */

const command command_likelihood = {
    "likelihood",
    "MODEL DATA [options]",
    "Computes bits per dimension of data under a model. DATA are pictures (a folder of .png, .npz, "
    "idx3-ubyte or its .gz), or a .npy of uint8 images, or of float32 or float64 values as the "
    "model "
    "takes them. docs/likelihood.md has the equations.",
    "example:\n  driftless likelihood models/fashion-vp t10k-images-idx3-ubyte.gz -n 32 \\\n"
    "      --steps 50 -o bpd.npz\n",
    2,
    2,
    table,
    run_likelihood};

typedef struct {
    images in;
    const char *json, *latents;
    const char *prior; /* file, or NULL */
    likelihood *job;
} work;

/* ---- setting up ------------------------------------------------------------------------------ */

static dfl_status check_latents(const work *w) {
    if (!text_ends_in(w->latents, ".npy"))
        return fail(DFL_E_ARG, "--latents: %s: the name must end in .npy", w->latents);
    return output_check_folder(w->latents);
}

static dfl_status check_outputs(work *w) {
    TRY(images_outputs(&w->in));
    w->json = arg(w->in.args, "json")->text;
    w->latents = arg(w->in.args, "latents")->text;
    if (w->in.output && !text_ends_in(w->in.output, ".npz") && !text_ends_in(w->in.output, ".npy"))
        return fail(DFL_E_ARG, "%s: the output's name must end in .npz or .npy", w->in.output);
    if (w->latents) TRY(check_latents(w));
    if (!w->json || strcmp(w->json, "-") == 0) return DFL_OK;
    return output_check_folder(w->json);
}

/* The word of --prior: one of two densities that need no file, or a file. */
static dfl_status add_prior(work *w) {
    const char *word = arg(w->in.args, "prior")->text;
    if (!word) return DFL_OK;
    const bool named = strcmp(word, "standard") == 0 || strcmp(word, "exact") == 0;
    if (!named) w->prior = word;
    text_add(&w->in.spec, " prior=%s", named ? word : "file");
    return DFL_OK;
}

static dfl_status make_spec(void *user) {
    work *w = user;
    static const char *const words[] = {"method",     "process", "t-start", "draws", "steps",
                                        "t-end",      "solver",  "form",    "trace", "probes",
                                        "rtol",       "atol",    "max-nfe", "grid",  "scaling",
                                        "derivative", "fd-step", "terms",   "seed",  "variance"};
    TRY(check_outputs(w));
    TRY(images_spec(&w->in, words, sizeof words / sizeof *words));
    TRY(add_prior(w));
    if (arg_given(w->in.args, "clip-denoised")) text_add(&w->in.spec, " clip_denoised=1");
    return w->in.spec.failed ? fail_memory() : DFL_OK;
}

static dfl_status guide(void *user) {
    images *in = &((work *)user)->in;
    if (!arg_given(in->args, "guidance")) return DFL_OK;
    return dfl_model_guide(in->model, arg(in->args, "guidance")->real, &in->model);
}

static int watch(void *user, size_t evaluations) {
    work *w = user;
    if (stop_requested()) return WATCH_STOPPED;
    if (likelihood_nfe(w->job) > 0)
        progress_add(&w->in.bar, evaluations * (size_t)dfl_model_calls(w->in.model));
    return 0;
}

/* How far plain noise, or a prior, is from the data at T, as before sampling. */
static dfl_status tell_start(const work *w) {
    const likelihood *l = w->job;
    const bool asked = w->prior || arg_given(w->in.args, "t-start");
    if (l->t_of_prior && !w->in.quiet)
        fprintf(stderr, "driftless: T = %.6g, where %s was fitted\n", l->T, w->prior);
    if (l->start && asked && !w->in.quiet) return start_say(l->start);
    return l->start && w->json ? start_measure(l->start) : DFL_OK;
}

static dfl_status make_job(work *w) {
    const likelihood_wish wish = {.spec = w->in.spec.data,
                                  .first = images_number(&w->in, "first"),
                                  .count = images_number(&w->in, "count"),
                                  .batch = images_number(&w->in, "batch"),
                                  .prior = w->prior,
                                  .latents = w->latents != NULL};
    TRY(likelihood_new(w->in.model, &w->in.data, &wish, &w->job));
    w->job->net.watch = watch;
    w->job->net.user = w;
    TRY(tell_start(w));
    return images_may_resume(&w->in) ? likelihood_resume(w->job, w->in.part.data) : DFL_OK;
}

/* ---- computing ------------------------------------------------------------------------------- */

static dfl_status interrupted(const work *w) {
    if (w->in.output && w->job->done > 0) TRY(likelihood_save(w->job, w->in.part.data));
    return images_interrupted(&w->in, w->job->done, w->job->count);
}

static dfl_status compute(void *user) {
    work *w = user;
    TRY(make_job(w));
    likelihood *const job = w->job;
    const size_t nfe = likelihood_nfe(job);
    dfl_status status = DFL_OK;
    progress_start(&w->in.bar, !w->in.quiet, job->count - job->done, nfe ? nfe : 1);
    while (status == DFL_OK && job->done < job->count) {
        const size_t before = job->done;
        status = likelihood_batch(job);
        if (status == DFL_OK && nfe == 0) progress_add(&w->in.bar, job->done - before);
        if (status == DFL_OK && stop_requested() && job->done < job->count) status = WATCH_STOPPED;
        if (status == DFL_OK && images_save_due(&w->in))
            status = likelihood_save(job, w->in.part.data);
    }
    progress_end(&w->in.bar);
    return status == WATCH_STOPPED ? interrupted(w) : status;
}

/* ---- results --------------------------------------------------------------------------------- */

static const char *const columns[ROW_NUMBERS] = {"bpd", "nats", "prior", "path", "decoder", "nfe"};

static dfl_status write_npy(const work *w) {
    const likelihood *l = w->job;
    npy_writer *out;
    TRY(npy_create(w->in.output, ARRAY_F64, 1, &l->count, &out));
    dfl_status status = DFL_OK;
    for (size_t i = 0; status == DFL_OK && i < l->count; i++)
        status = npy_append(out, l->rows + i * l->width + ROW_BPD, 1);
    if (status == DFL_OK) return npy_commit(out);
    npy_discard(out);
    return status;
}

/* Columns as arrays of their own; terms and times behind them. */
static dfl_status write_npz(const work *w) {
    const likelihood *l = w->job;
    const size_t S = l->width - ROW_NUMBERS;
    double *const numbers = mem_array(mem_product(l->count, l->width, 1), sizeof *numbers);
    named_array arrays[ROW_NUMBERS + 2];
    int n = 0;
    if (!numbers) return fail_memory();
    for (size_t k = 0; k < ROW_NUMBERS; k++) {
        double *const to = numbers + k * l->count;
        for (size_t i = 0; i < l->count; i++) to[i] = l->rows[i * l->width + k];
        if (l->flow && k == ROW_DECODER) continue;
        arrays[n++] = (named_array){columns[k], {ARRAY_F64, 1, {l->count}, to}};
    }
    double *const terms = numbers + ROW_NUMBERS * l->count;
    for (size_t i = 0; i < l->count; i++)
        memcpy(terms + i * S, l->rows + i * l->width + ROW_NUMBERS, S * sizeof *terms);
    if (S) {
        arrays[n++] = (named_array){"terms", {ARRAY_F64, 2, {l->count, S}, terms}};
        arrays[n++] = (named_array){"times", {ARRAY_F64, 1, {S}, l->times}};
    }
    const dfl_status status = npz_write(w->in.output, arrays, n);
    free(numbers);
    return status;
}

static dfl_status write_latents(const work *w) {
    const likelihood *l = w->job;
    const card *c = &w->in.model->card;
    size_t shape[ARRAY_RANK_MAX] = {l->count};
    npy_writer *out;
    for (int i = 0; i < c->rank; i++) shape[i + 1] = c->shape[i];
    TRY(npy_create(w->latents, ARRAY_F64, c->rank + 1, shape, &out));
    const dfl_status status = npy_append(out, l->latents, l->count);
    if (status == DFL_OK) return npy_commit(out);
    npy_discard(out);
    return status;
}

static dfl_status write_output(const work *w) {
    if (w->latents) TRY(write_latents(w));
    if (!w->in.output) return DFL_OK;
    TRY(text_ends_in(w->in.output, ".npy") ? write_npy(w) : write_npz(w));
    return images_forget(&w->in);
}

static dfl_status add_settings(const work *w, text *out) {
    const likelihood *l = w->job;
    text settings = {0};
    const dfl_status status = likelihood_text(l, &settings);
    text_add(out, ", \"method\": \"%s\", \"settings\": ", l->flow ? "flow" : "bound");
    json_add_text(out, status == DFL_OK ? settings.data : "");
    text_free(&settings);
    text_add(out, ", \"start_density\": \"%s\"", opt_text(&l->options, "prior"));
    if (w->prior) {
        text_add(out, ", \"prior_file\": {\"path\": ");
        json_add_text(out, w->prior);
        text_add(out, ", \"sha256\": \"%s\"}", l->prior_digest);
    }
    text_add(out, ", \"start\": ");
    if (l->start)
        TRY(start_json(l->start, out));
    else
        text_add(out, "null");
    json_add_next_real(out, "t_start", l->T);
    if (l->flow) {
        static const char *const kinds[] = {"exact", "rademacher", "gaussian", "hadamard"};
        json_add_next_real(out, "t_end", l->eps);
        text_add(out, ", \"solver\": \"%s\", \"trace\": \"%s\", \"probes\": %zu, \"jvp\": %s",
                 opt_text(&l->options, "solver"), kinds[l->along.probes.kind],
                 l->along.probes.count, l->net.jvp ? "true" : "false");
        if (l->along.solver != FLOW_ODE45) text_add(out, ", \"steps\": %zu", l->along.steps);
        json_add_next_real(out, "added_bits", l->added_bits);
    } else {
        text_add(out, ", \"times\": %d, \"variance\": \"%s\"", l->bound.S,
                 opt_text(&l->options, "variance"));
    }
    text_add(out, ", \"draws\": %zu, \"dequantised\": %s, \"seed\": \"%llu\"", l->draws,
             l->flow && l->data->bytes ? "true" : "false", (unsigned long long)l->seed);
    return DFL_OK;
}

static dfl_status make_record(const work *w, text *out) {
    const likelihood *l = w->job;
    TRY(images_record(&w->in, "driftless-likelihood/1", l->first, l->count, out));
    TRY(add_settings(w, out));
    for (int k = 0; k < ROW_NUMBERS; k++) {
        double mean, error;
        char key[32];
        if (l->flow && k == ROW_DECODER) continue;
        likelihood_mean(l, k, &mean, &error);
        json_add_next_real(out, columns[k], mean);
        snprintf(key, sizeof key, "%s_se", columns[k]);
        json_add_next_real(out, key, error);
    }
    json_add_next_real(out, "seconds", seconds_now() - w->in.began);
    json_add_next_real(out, "model_seconds", l->net.seconds);
    text_add(out, "}\n");
    return out->failed ? fail_memory() : DFL_OK;
}

static dfl_status write_record(const work *w) {
    text out = {0};
    if (!w->json) return DFL_OK;
    dfl_status status = make_record(w, &out);
    if (status == DFL_OK) status = write_text(w->json, out.data);
    text_free(&out);
    return status;
}

static void add_figure(text *out, const likelihood *l, const char *name, int column) {
    double mean, error;
    likelihood_mean(l, column, &mean, &error);
    text_add(out, "%-9s %.5f", name, mean);
    if (isfinite(error)) text_add(out, " +- %.5f", error);
}

static dfl_status print_summary(const work *w) {
    const likelihood *l = w->job;
    double nfe, spread;
    text out = {0};
    if (w->in.quiet || (w->json && strcmp(w->json, "-") == 0)) return DFL_OK;
    likelihood_mean(l, ROW_NFE, &nfe, &spread);
    add_figure(&out, l, "bits/dim", ROW_BPD);
    text_add(&out, "  (%zu images, %.6g evaluations each)\n", l->count, nfe);
    add_figure(&out, l, "nats", ROW_NATS);
    text_add(&out, l->flow ? "  = -log p, of the density\n"
                           : "  at least -log p of the discrete model\n");
    add_figure(&out, l, "prior", ROW_PRIOR);
    text_add(&out,
             l->flow ? "  -log of the %s density at T = %.6g\n"
                     : "  divergence from the %s density at T = %.6g\n",
             l->nu.kind, l->T);
    if (!l->flow) {
        add_figure(&out, l, "path", ROW_PATH);
        text_add(&out, "  of %d transitions\n", l->bound.S - 1);
        add_figure(&out, l, "decoder", ROW_DECODER);
        text_add(&out, "  at t = %.6g\n", l->times[0]);
    }
    const dfl_status status = out.failed ? fail_memory() : print_page(out.data);
    text_free(&out);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static dfl_status finish(void *user) {
    const work *w = user;
    TRY(write_output(w));
    TRY(write_record(w));
    return print_summary(w);
}

static void job_free(void *user) {
    likelihood_free(((work *)user)->job);
}

static int run_likelihood(const args *a) {
    static const images_stages stages = {make_spec, guide, compute, finish, job_free, CODE_FAILURE};
    work w = {.in = {.args = a}};
    return images_run(&w.in, &stages, &w);
}
