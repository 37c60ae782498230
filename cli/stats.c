/* "driftless stats": gathers the statistics that solver deis_sn needs, in pieces that can be
   interrupted, continued and merged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "open.h"
#include "output.h"
#include "progress.h"
#include "spec.h"
#include "stop.h"
#include "study/stats.h"

static int run_stats(const args *a);

static const arg_row rows[] = {
    {'o', "output", NULL, "FILE", NULL, "required: where the statistics are kept (JSON)",
     ARG_OUTPUT, 0, 0},
    {'n', "samples", NULL, "N", "256", "samples that are averaged over", ARG_INT, 1, 1 << 20},
    {0, "nfe", NULL, "N", "1000", "evaluations per sample", ARG_INT, 2, 1e5},
    {0, "solver", "sampling-method", "TEXT", "deis:order=2", "solver of the runs", ARG_TEXT, 0, 0},
    {0, "grid", "scheduler", "TEXT", "trailing; uniform if t_max < 1", "time grid of the runs",
     ARG_TEXT, 0, 0},
    {0, "process", NULL, "TEXT", "the card's", "forward process and its options", ARG_TEXT, 0, 0},
    {0, "t-start", NULL, "T", "the grid's", "time to start from", ARG_REAL, 0, 1},
    {0, "t-end", NULL, "T", "the grid's", "time to end at", ARG_REAL, 0, 1},
    {0, "bins", NULL, "N", "as many as are evaluated",
     "times of the result: value k belongs to t = (k + 1)/N", ARG_INT, 2, 1e5},
    {'s', "seed", NULL, "S", "0", "seed of all random numbers", ARG_INT, 0, 9e18},
    {0, "first", NULL, "INDEX", "0", "index of the first sample", ARG_INT, 0, 4e18},
    {0, "batch", NULL, "B", "64", "samples between two savings; no influence on results", ARG_INT,
     1, 1 << 20},
    GUIDANCE_ROWS,
    {'t', "threads", NULL, "T", "all cores", "threads of the network", ARG_INT, 0, 1024},
    {0, "name", NULL, "NAME", NULL, "import: which ratios of the file (NAME_ratio_by_t)", ARG_TEXT,
     0, 0},
    {'q', "quiet", NULL, NULL, NULL, "no progress and no summary", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_stats = {
    "stats",
    "MODEL | merge FILE... | import FILE.npz --name NAME -o FILE [options]",
    "Gathers mean |eps| over time from long runs of a model, for --solver deis_sn. Interrupted, it "
    "goes on where it was when the same command is given again. \"merge\" adds up files of one "
    "model with different samples; \"import\" takes published ratios.",
    "example:\n  driftless stats models/fashion-vp -n 64 \\\n"
    "      -o models/fashion-vp/score_statistics.json\n",
    1,
    OPERANDS_MAX,
    rows,
    run_stats};

static dfl_status make_spec(const args *a, text *out) {
    static const char *const words[] = {"nfe", "solver", "grid", "process", "t-start", "t-end"};
    return spec_add(a, words, sizeof words / sizeof *words, false, out);
}

static dfl_status make_options(const args *a, text *out) {
    static const char *const keys[] = {"samples", "seed", "first", "batch", "bins"};
    text_add(out, "%s", "");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (arg_given(a, keys[i]))
            text_add(out, "%s%s=%s", out->len ? "," : "", keys[i], arg(a, keys[i])->text);
    return out->failed ? fail_memory() : DFL_OK;
}

/* ---- gathering ------------------------------------------------------------------------------- */

typedef struct {
    const args *args;
    const char *path;
    text part; /* path of the sums so far */
    dfl_model *model;
    dfl_stats *stats;
    progress bar;
    size_t seen; /* of the batch */
} gathering;

static int watch(void *user, size_t done, size_t total) {
    gathering *g = user;
    (void)total;
    if (stop_requested()) return WATCH_STOPPED;
    progress_add(&g->bar, done - g->seen);
    g->seen = done;
    return 0;
}

static dfl_status start_gathering(gathering *g) {
    text spec = {0}, options = {0};
    dfl_status status = make_spec(g->args, &spec);
    if (status == DFL_OK) status = make_options(g->args, &options);
    if (status == DFL_OK) status = guide_model(g->args, &g->model);
    if (status == DFL_OK) status = dfl_stats_new(g->model, spec.data, options.data, &g->stats);
    text_free(&spec);
    text_free(&options);
    return status;
}

/* What an interrupted run left behind, or else a finished file, of which more may be asked now. */
static dfl_status take_up(gathering *g) {
    text_add(&g->part, "%s.part", g->path);
    if (g->part.failed) return fail_memory();
    const bool begun = access(g->part.data, F_OK) == 0;
    if (begun || access(g->path, F_OK) == 0)
        return dfl_stats_resume(g->stats, begun ? g->part.data : g->path);
    return DFL_OK;
}

static dfl_status interrupted(const gathering *g) {
    const size_t have = dfl_stats_samples(g->stats), left = dfl_stats_left(g->stats);
    if (have == 0) return fail(DFL_E_STOPPED, "interrupted before the first batch was complete");
    return fail(DFL_E_STOPPED,
                "interrupted; %zu of %zu samples stand in %s, and the same command goes on from "
                "there",
                have, have + left, g->part.data);
}

static dfl_status gather(gathering *g) {
    dfl_status status = DFL_OK;
    progress_start(&g->bar, !arg_given(g->args, "quiet"), dfl_stats_left(g->stats),
                   dfl_stats_nfe(g->stats));
    while (status == DFL_OK && dfl_stats_left(g->stats) > 0) {
        g->seen = 0;
        status = dfl_stats_batch(g->stats, watch, g);
        if (status == DFL_OK) status = dfl_stats_save(g->stats, g->part.data);
    }
    progress_end(&g->bar);
    return status == WATCH_STOPPED ? interrupted(g) : status;
}

/* The name is taken by what is complete, and the part goes. */
static dfl_status finish(gathering *g) {
    if (access(g->part.data, F_OK) != 0) return DFL_OK;
    TRY(dfl_stats_save(g->stats, g->path));
    if (unlink(g->part.data) == 0) return DFL_OK;
    return fail(DFL_E_IO, "%s: %s", g->part.data, strerror(errno));
}

static dfl_status tell(const gathering *g) {
    text out = {0};
    if (arg_given(g->args, "quiet")) return DFL_OK;
    text_add(&out, "%s: %zu samples, %zu evaluations each\n", g->path, dfl_stats_samples(g->stats),
             dfl_stats_nfe(g->stats));
    const dfl_status status = out.failed ? fail_memory() : print_page(out.data);
    text_free(&out);
    return status;
}

static int run_gathering(const args *a, const char *path) {
    gathering g = {.args = a, .path = path};
    int code = CODE_MODEL;
    stop_install();
    dfl_status status = open_model(a, &g.model);
    if (status == DFL_OK) {
        code = CODE_BY_STATUS;
        status = start_gathering(&g);
    }
    if (status == DFL_OK) status = take_up(&g);
    if (status == DFL_OK) status = gather(&g);
    if (status == DFL_OK) status = finish(&g);
    if (status == DFL_OK) status = tell(&g);
    dfl_stats_free(g.stats);
    dfl_model_free(g.model);
    text_free(&g.part);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}

/* ---- merging, importing ---------------------------------------------------------------------- */

/* Options that belong to gathering would be ignored. */
static dfl_status check_only(const args *a, const char *allowed) {
    for (const arg_row *row = a->command->rows; row->name; row++) {
        const bool fine = strcmp(row->name, "output") == 0 || strcmp(row->name, "quiet") == 0 ||
                          strcmp(row->name, allowed) == 0;
        if (!fine && arg_given(a, row->name))
            return fail(DFL_E_ARG, "stats %s: --%s has no meaning here", a->operand[0], row->name);
    }
    return DFL_OK;
}

static dfl_status merge(const args *a, const char *path) {
    if (a->noperands < 3) return fail(DFL_E_ARG, "stats merge needs at least two files");
    TRY(check_only(a, ""));
    return dfl_stats_merge(&a->operand[1], (size_t)a->noperands - 1, path);
}

static dfl_status import(const args *a, const char *path) {
    if (a->noperands != 2 || !arg_given(a, "name"))
        return fail(DFL_E_ARG, "usage: driftless stats import FILE.npz --name NAME -o FILE");
    TRY(check_only(a, "name"));
    return stats_import(a->operand[1], arg(a, "name")->text, path);
}

static int run_stats(const args *a) {
    const char *path = arg(a, "output")->text, *first = a->operand[0];
    const bool merging = strcmp(first, "merge") == 0, importing = strcmp(first, "import") == 0;
    dfl_status status = DFL_OK;
    if (!path)
        status = fail(DFL_E_ARG, "stats needs an output: -o FILE");
    else
        status = output_check_folder(path);
    if (status == DFL_OK && merging)
        status = merge(a, path);
    else if (status == DFL_OK && importing)
        status = import(a, path);
    else if (status == DFL_OK && a->noperands != 1)
        status = fail(DFL_E_ARG, "stats has no place for \"%s\"", a->operand[1]);
    else if (status == DFL_OK && arg_given(a, "name"))
        status = fail(DFL_E_ARG, "--name goes with \"stats import\" only");
    else if (status == DFL_OK)
        return run_gathering(a, path);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_BY_STATUS);
}
