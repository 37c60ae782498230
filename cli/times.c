/* "driftless times": the bound on the likelihood as a function of T, where the reverse process begins,
   and the T it recommends; interrupted, it goes on when the same command is given again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "images.h"
#include "io/io.h"
#include "output.h"
#include "spec.h"
#include "stop.h"
#include "times.h"

static int run_times(const args *a);

/* clang-format off */
static const arg_row table[] = {
    {0, "prior", NULL, "FILE[,FILE...]", "N(0, I) alone", "auxiliary densities of clean data to start from, beside N(0, I)", ARG_TEXT, 0, 0},
    {'o', "output", NULL, "FILE", NULL, "numbers of each image (.npz); makes a run one to go on from", ARG_OUTPUT, 0, 0},
    {0, "plot", NULL, "FILE", NULL, "the curves, .svg or .png, by gnuplot", ARG_OUTPUT, 0, 0},
    {0, "csv", NULL, "FILE", NULL, "the curves as a table; - writes it to standard output", ARG_OUTPUT, 0, 0},
    {0, "json", NULL, "FILE", NULL, "save a record; - writes it to standard output", ARG_OUTPUT, 0, 0},
    {'n', "count", NULL, "N", "256", "images, from --first on", ARG_INT, 2, 1e9},
    {0, "first", NULL, "INDEX", "0", "index of the first image", ARG_INT, 0, 1e9},
    {0, "points", NULL, "N", "40", "times, even in log-SNR from --t-end to --t-start", ARG_INT, 3, TIMES_MAX},
    {0, "times", NULL, "T,T,T[,T...]", NULL, "the times themselves; the integral begins at the first", ARG_TEXT, 0, 0},
    {0, "t-start", NULL, "T", "the card's t_max", "last time", ARG_REAL, 0, 1},
    {0, "t-end", NULL, "T", "the card's t_min, mixtures: 1e-5", "first time", ARG_REAL, 0, 1},
    {0, "process", NULL, "TEXT", "the card's", "forward process and its options", ARG_TEXT, 0, 0},
    {0, "prior-draws", NULL, "N", "4", "states of each image and time at which priors are compared", ARG_INT, 1, 4096},
    {0, "bootstrap", NULL, "B", "1000", "replicates behind the spread of the least; 0: none", ARG_INT, 0, 1e6},
    {0, "labels", NULL, "FILE", NULL, "classes of the images, .npy of int64", ARG_FILE, 0, 0},
    {'c', "class", NULL, "C", "null", "class of all images: index, name, or null", ARG_TEXT, 0, 0},
    {'s', "seed", NULL, "S", "0", "seed of all random numbers", ARG_INT, 0, 9e15},
    {'t', "threads", NULL, "T", "all cores", "threads of the network", ARG_INT, 0, 1024},
    {0, "batch", NULL, "B", "16", "images at once; no influence on results", ARG_INT, 1, 1 << 20},
    {'q', "quiet", NULL, NULL, NULL, "no cost, no progress and no table", ARG_FLAG, 0, 0},
    ROWS_END};
/* clang-format on */

const command command_times = {
    "times",
    "MODEL DATA [options]",
    "Estimates on held-out data where the reverse process should begin: the variational bound as a "
    "function of T, with N(0, I) and with auxiliary densities as the start, and the smallest T "
    "that "
    "costs nothing. DATA are pictures (a folder of .png, .npz, idx3-ubyte or its .gz), or a .npy "
    "of "
    "uint8 images, or of float32 or float64 values as the model takes them: none that the model or "
    "the densities were fitted to. docs/diffusion-times.md has the equations.",
    "example:\n  driftless times models/fashion-vp t10k-images-idx3-ubyte.gz \\\n"
    "      --prior gauss.npz,pcagmm.npz --plot times.svg -o times.npz\n",
    2,
    2,
    table,
    run_times};

typedef struct {
    images in;
    const char *plot, *csv, *json;
    text list; /* --prior, cut at its commas */
    const char *prior[TIMES_PRIORS_MAX];
    size_t npriors;
    times_study *study;
    times_choice choice;
} work;

/* ---- setting up ------------------------------------------------------------------------------ */

static bool is_stdout(const char *path) {
    return path && strcmp(path, "-") == 0;
}

static dfl_status check_folders(const work *w) {
    const char *const path[] = {w->plot, w->csv, w->json};
    for (int i = 0; i < 3; i++)
        if (path[i] && !(i >= 1 && is_stdout(path[i]))) TRY(output_check_folder(path[i]));
    return DFL_OK;
}

static dfl_status check_outputs(work *w) {
    TRY(images_outputs(&w->in));
    w->plot = arg(w->in.args, "plot")->text;
    w->csv = arg(w->in.args, "csv")->text;
    w->json = arg(w->in.args, "json")->text;
    if (w->in.output && !text_ends_in(w->in.output, ".npz"))
        return fail(DFL_E_ARG, "%s: the output's name must end in .npz", w->in.output);
    if (w->plot && !text_ends_in(w->plot, ".svg") && !text_ends_in(w->plot, ".png"))
        return fail(DFL_E_ARG, "%s: the plot's name must end in .svg or .png", w->plot);
    return check_folders(w);
}

static dfl_status split_priors(work *w) {
    const char *const list = arg(w->in.args, "prior")->text;
    if (!list) return DFL_OK;
    text_add(&w->list, "%s", list);
    if (w->list.failed) return fail_memory();
    for (char *at = w->list.data;; at++) {
        const size_t n = strcspn(at, ",");
        const bool more = at[n] == ',';
        if (n == 0) return fail(DFL_E_ARG, "--prior: \"%s\" names no file between commas", list);
        if (w->npriors == TIMES_PRIORS_MAX)
            return fail(DFL_E_RANGE, "--prior: at most %d files", TIMES_PRIORS_MAX);
        w->prior[w->npriors++] = at;
        at += n;
        if (!more) return DFL_OK;
        *at = 0;
    }
}

static dfl_status make_spec(void *user) {
    work *w = user;
    static const char *const words[] = {"process", "t-start",     "t-end",
                                        "points",  "prior-draws", "seed"};
    const char *const times = arg(w->in.args, "times")->text;
    TRY(check_outputs(w));
    TRY(split_priors(w));
    TRY(images_spec(&w->in, words, sizeof words / sizeof *words));
    if (times && strspn(times, "0123456789.,eE+-") != strlen(times))
        return fail(DFL_E_ARG, "--times: \"%.80s\" is not a list of numbers like 0.001,0.4,1",
                    times);
    if (times) text_add(&w->in.spec, " times=[%s]", times);
    return w->in.spec.failed ? fail_memory() : DFL_OK;
}

static int watch(void *user, size_t evaluations) {
    work *w = user;
    if (stop_requested()) return WATCH_STOPPED;
    progress_add(&w->in.bar, evaluations * (size_t)dfl_model_calls(w->in.model));
    return 0;
}

static dfl_status make_study(work *w) {
    const times_wish wish = {.spec = w->in.spec.data,
                             .first = images_number(&w->in, "first"),
                             .count = images_number(&w->in, "count"),
                             .batch = images_number(&w->in, "batch"),
                             .priors = w->prior,
                             .npriors = w->npriors};
    TRY(times_new(w->in.model, &w->in.data, &wish, &w->study));
    w->study->net.watch = watch;
    w->study->net.user = w;
    return images_may_resume(&w->in) ? times_resume(w->study, w->in.part.data) : DFL_OK;
}

/* ---- computing ------------------------------------------------------------------------------- */

static void tell_cost(const work *w) {
    const times_study *s = w->study;
    if (w->in.quiet) return;
    fprintf(stderr, "driftless: %zu evaluations: %zu images at %zu times", times_evaluations(s),
            s->count, s->m);
    if (s->npriors) fprintf(stderr, "; %zu log-densities of priors", times_densities(s));
    if (s->done) fprintf(stderr, "; %zu images are done", s->done);
    fputc('\n', stderr);
}

static dfl_status interrupted(const work *w) {
    const times_study *s = w->study;
    if (w->in.output && s->done > 0) TRY(times_save(s, w->in.part.data));
    return images_interrupted(&w->in, s->done, s->count);
}

/* A bar for the network, and a second one for what follows. */
static void start_bar(work *w) {
    const times_study *s = w->study;
    progress_end(&w->in.bar);
    if (s->done < s->count)
        progress_start(&w->in.bar, !w->in.quiet, s->count - s->done,
                       s->m * (size_t)s->model->calls);
    else
        progress_start(&w->in.bar, !w->in.quiet, s->npriors * s->m - s->columns, 1);
}

static dfl_status compute(void *user) {
    work *w = user;
    TRY(make_study(w));
    tell_cost(w);
    times_study *const s = w->study;
    dfl_status status = DFL_OK;
    start_bar(w);
    while (status == DFL_OK && !times_finished(s)) {
        const bool networks = s->done < s->count;
        status = times_step(s);
        if (status == DFL_OK && networks && s->done == s->count) start_bar(w);
        if (status == DFL_OK && !networks) progress_add(&w->in.bar, 1);
        if (status == DFL_OK && stop_requested() && !times_finished(s)) status = WATCH_STOPPED;
        if (status == DFL_OK && images_save_due(&w->in)) status = times_save(s, w->in.part.data);
    }
    progress_end(&w->in.bar);
    return status == WATCH_STOPPED ? interrupted(w) : status;
}

/* ---- results --------------------------------------------------------------------------------- */

/* times, loss and reconstruction of each image, and its gap for each start. */
static dfl_status write_output(const work *w) {
    const times_study *s = w->study;
    const size_t n = s->count, m = s->m, starts = 1 + s->npriors;
    if (!w->in.output) return DFL_OK;
    double *const loss = mem_array(mem_product(n, m, 1), sizeof *loss);
    double *const decoder = mem_array(n, sizeof *decoder);
    double *const gap = mem_array(mem_product(starts, n, m), sizeof *gap);
    const named_array arrays[] = {{"times", {ARRAY_F64, 1, {m}, s->t}},
                                  {"loss", {ARRAY_F64, 2, {n, m}, loss}},
                                  {"mismatch", {ARRAY_F64, 3, {starts, n, m}, gap}},
                                  {"decoder", {ARRAY_F64, 1, {n}, decoder}}};
    dfl_status status = loss && decoder && gap ? DFL_OK : fail_memory();
    for (size_t i = 0; status == DFL_OK && i < n; i++) {
        memcpy(loss + i * m, s->loss + i * (m + 1), m * sizeof *loss);
        decoder[i] = s->loss[i * (m + 1) + m];
        for (size_t k = 0; k < starts; k++)
            for (size_t j = 0; j < m; j++) gap[(k * n + i) * m + j] = times_mismatch(s, k, j, i);
    }
    if (status == DFL_OK) status = npz_write(w->in.output, arrays, 4);
    free(loss);
    free(decoder);
    free(gap);
    TRY(status);
    return images_forget(&w->in);
}

static dfl_status make_record(const work *w, text *out) {
    const times_study *s = w->study;
    text settings = {0};
    TRY(images_record(&w->in, "driftless-times/1", s->first, s->count, out));
    dfl_status status = times_text(s, &settings);
    text_add(out, ", \"settings\": ");
    json_add_text(out, status == DFL_OK ? settings.data : "");
    text_free(&settings);
    text_add(out, ", \"evaluations\": %zu", times_evaluations(s));
    times_json(s, &w->choice, out);
    json_add_next_real(out, "seconds", seconds_now() - w->in.began);
    json_add_next_real(out, "model_seconds", s->net.seconds);
    text_add(out, "}\n");
    return out->failed ? fail_memory() : status;
}

static dfl_status write_tables(const work *w) {
    text csv = {0}, json = {0};
    dfl_status status = DFL_OK;
    if (w->csv) {
        times_csv(w->study, &w->choice, &csv);
        status = csv.failed ? fail_memory() : write_text(w->csv, csv.data);
    }
    if (w->json && status == DFL_OK) {
        status = make_record(w, &json);
        if (status == DFL_OK) status = write_text(w->json, json.data);
    }
    text_free(&csv);
    text_free(&json);
    return status;
}

static dfl_status draw_plot(const work *w) {
    text note = {0};
    if (!w->plot) return DFL_OK;
    const dfl_status status = times_plot(w->study, &w->choice, w->plot, &note);
    if (status == DFL_OK && note.len) tell_warnings(note.data);
    text_free(&note);
    return status == WATCH_STOPPED ? fail(DFL_E_STOPPED, "interrupted; there is no plot") : status;
}

static dfl_status print_tables(const work *w) {
    text out = {0};
    if (w->in.quiet || is_stdout(w->csv) || is_stdout(w->json)) return DFL_OK;
    times_print(w->study, &w->choice, &out);
    const dfl_status status = out.failed ? fail_memory() : print_page(out.data);
    text_free(&out);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static dfl_status finish(void *user) {
    work *w = user;
    const arg_value *b = arg(w->in.args, "bootstrap");
    TRY(times_choose(w->study, arg_given(w->in.args, "bootstrap") ? (size_t)b->integer : 1000,
                     &w->choice));
    TRY(write_output(w));
    TRY(write_tables(w));
    TRY(draw_plot(w));
    return print_tables(w);
}

static void study_free(void *user) {
    work *w = user;
    times_choice_free(&w->choice);
    times_free(w->study);
    text_free(&w->list);
}

static int run_times(const args *a) {
    static const images_stages stages = {make_spec, NULL,       compute,
                                         finish,    study_free, CODE_BY_STATUS};
    work w = {.in = {.args = a}};
    return images_run(&w.in, &stages, &w);
}
