/* "driftless fit": fits the coefficients of a plan to a model, against a teacher of many steps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "open.h"
#include "output.h"
#include "eval/extractor.h"
#include "progress.h"
#include "shipped.h"
#include "spec.h"
#include "start.h"
#include "stop.h"
#include "study/refine.h"

static int run_fit(const args *a);

static const arg_row fit_rows[] = {
    {0, "steps", NULL, "N", NULL, "required: steps, which are the plan's evaluations", ARG_INT, 1,
     1000},
    {'o', "output", NULL, "FILE", NULL, "required: the plan (JSON)", ARG_OUTPUT, 0, 0},
    {0, "grid", "scheduler", "TEXT", "power:kappa=2",
     "time grid; the times of the teacher nearest to it are taken. search, with options as in "
     "search:candidates=40,rounds=4: times are searched among the teacher's",
     ARG_TEXT, 0, 0},
    {'n', "samples", NULL, "N", "256", "starts to fit on", ARG_INT, 2, 1 << 20},
    {0, "held-out", NULL, "N", "256", "further starts, to measure the result on", ARG_INT, 1,
     1 << 20},
    {'s', "seed", NULL, "S", "1000", "seed of the starts; not that of later samples", ARG_INT, 0,
     9e18},
    {0, "teacher", NULL, "TEXT", "deis:order=3, in phase space with factor=flow",
     "solver whose states are to be met", ARG_TEXT, 0, 0},
    {0, "teacher-nfe", NULL, "N", "60", "its evaluations per sample", ARG_INT, 1, 1e5},
    {0, "teacher-grid", NULL, "TEXT", "power:kappa=2", "its time grid", ARG_TEXT, 0, 0},
    {0, "work", NULL, "FOLDER", NULL,
     "keep the teacher's states and the refinement here, for further fits; without: beside the "
     "output until it is "
     "written",
     ARG_FILE, 0, 0},
    {0, "history", NULL, "K", "3", "older network outputs that a step may use", ARG_INT, 0,
     FIT_HISTORY_MAX},
    {0, "ridge", NULL, "R", "1e-6",
     "pull towards the coefficients of ddim, or of its like in phase space", ARG_REAL, 0, 1e6},
    {0, "constraint", NULL, "none|consistency|order2|order3", "none",
     "consistency: a constant output is integrated exactly; order2 and order3: polynomials of the "
     "log-SNR, too",
     ARG_CHOICE, 0, 0},
    {0, "share", NULL, NULL, NULL,
     "one set of weights for all steps, as Adams-Bashforth has; with a --constraint", ARG_FLAG, 0,
     0},
    {0, "compare", NULL, "none|few|all", "few", "classical solvers to measure beside the plan",
     ARG_CHOICE, 0, 0},
    {0, "refine", NULL, "ITERATIONS", "0",
     "afterwards adjust all coefficients together to the error of the last state", ARG_INT, 0,
     REFINE_MAX},
    {0, "objective", NULL, "rms|moments|features|feature_distance", "rms",
     "that error: of all numbers; with moments also of their mean and variance over the samples, "
     "with features also of a network's features of them, with feature_distance also of the "
     "Frechet distance of these to the teacher's",
     ARG_CHOICE, 0, 0},
    {0, "weight", NULL, "W", "moments 10, features 1, feature_distance 100",
     "of moments or features beside the state", ARG_REAL, 0, 1e9},
    {0, "refine-times", NULL, NULL, NULL, "adjust the times, too", ARG_FLAG, 0, 0},
    {'f', "features", NULL, "FOLDER", "fashion-classifier",
     "for the objectives of features: a folder with features.json, the name of one that comes with "
     "the program (fashion-classifier, mnist-lenet5), or pixels",
     ARG_FILE, 0, 0},
    {0, "process", NULL, "TEXT", "the card's", "forward process and its options", ARG_TEXT, 0, 0},
    {0, "t-start", NULL, "T", "the card's t_max", "time to start from", ARG_REAL, 0, 1},
    {0, "t-end", NULL, "T", "the card's t_min", "time to end at", ARG_REAL, 0, 1},
    {0, "prior", NULL, "FILE", NULL, "draw starts at --t-start from this density", ARG_FILE, 0, 0},
    {0, "prior-map", NULL, "draw|flow", "draw",
     "draw from the prior, or take its Gaussian flow map (prior or data moments)", ARG_CHOICE, 0,
     0},
    {0, "data-moments", NULL, "FILE", NULL, "mean and covariance of the data (.npz: mu, sigma)",
     ARG_FILE, 0, 0},
    GUIDANCE_ROWS,
    {'t', "threads", NULL, "T", "all cores", "threads of the network", ARG_INT, 0, 1024},
    {'q', "quiet", NULL, NULL, NULL, "no progress, no cost and no table", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_fit = {
    "fit",
    "MODEL --steps N -o FILE [options]",
    "Fits a plan to a model: step by step the combination of state and network outputs that best "
    "meets a teacher of many evaluations from the same starts, by least squares; and with --refine "
    "all steps together. Measures it on "
    "held-out starts beside classical solvers. \"sample --plan FILE\" runs it; one in MODEL/plans "
    "is found by \"--solver auto\".",
    "example:\n  driftless fit models/fashion-vp --steps 5 -o five.json\n"
    "  driftless fit models/fashion-vp --steps 5 --refine 4 -o five.json\n"
    "  driftless sample models/fashion-vp --plan five.json -o grid.png\n",
    1,
    1,
    fit_rows,
    run_fit};

static dfl_status make_spec(const args *a, text *out) {
    static const char *const words[] = {
        "steps",       "grid",         "samples", "held-out", "seed",       "teacher",
        "teacher-nfe", "teacher-grid", "history", "ridge",    "constraint", "compare",
        "process",     "t-start",      "t-end",   "refine",   "weight",     "objective"};
    if (!arg_given(a, "steps") || !arg_given(a, "output"))
        return fail(DFL_E_ARG, "usage: driftless fit %s", a->command->operands);
    if (arg_given(a, "features") &&
        !(arg_given(a, "objective") && strncmp(arg(a, "objective")->text, "feature", 7) == 0))
        return fail(DFL_E_ARG,
                    "--features goes with --objective features or feature_distance only");
    TRY(spec_add(a, words, sizeof words / sizeof *words, true, out));
    if (arg_given(a, "refine-times")) text_add(out, " refine_times=1");
    if (arg_given(a, "share")) text_add(out, " share=1");
    start_options(a, " ", out);
    return out->failed ? fail_memory() : DFL_OK;
}

/* ---- the feature network ----------------------------------------------------------------------- */

/* What the objectives of features see: the samples as pictures, between two bytes, too. */
typedef struct {
    extractor *extractor;
    const card *card;
} eye;

static dfl_status look(void *user, uint64_t first, size_t count, const double *x, float *out) {
    const eye *const e = user;
    const card *const c = e->card;
    const real_set set = {
        first, count, c->shape[1], c->shape[2], c->shape[0], {c->range[0], c->range[1]}, x};
    return extractor_run_reals(e->extractor, &set, out);
}

static dfl_status open_eye(const args *a, const dfl_model *model, eye *out, fit *f) {
    const card *const c = &model->card;
    text folder = {0};
    if (!fit_sees(f)) return DFL_OK;
    if (c->rank != 3 || (c->shape[0] != 1 && c->shape[0] != 3))
        return fail(DFL_E_COMBINATION,
                    "--objective %s: the samples of this model are not pictures of 1 or 3 channels",
                    opt_text(&f->spec, "objective"));
    dfl_status status = shipped_extractor(a, &folder);
    if (status == DFL_OK)
        status = extractor_open(folder.data, (int)arg(a, "threads")->integer, &out->extractor);
    text_free(&folder);
    TRY(status);
    out->card = c;
    TRY(extractor_fit_reals(out->extractor, c->shape[1], c->shape[2], c->shape[0]));
    f->features = (fit_features){.width = extractor_width(out->extractor),
                                 .name = extractor_name(out->extractor),
                                 .digest = extractor_digest(out->extractor),
                                 .run = look,
                                 .user = out};
    return DFL_OK;
}

static int watch(void *user, size_t evaluations) {
    if (stop_requested()) return WATCH_STOPPED;
    progress_add(user, evaluations);
    return 0;
}

/* A word as a shell takes it: in quotes, with each of its own quotes outside of them. */
static void add_quoted(text *out, const char *word) {
    text_add(out, " '");
    for (const char *c = word; *c; c++) text_add(out, *c == '\'' ? "'\\''" : "%c", *c);
    text_add(out, "'");
}

/* The line as it was typed, to be typed again. */
static void command_line(const args *a, text *out) {
    text_add(out, "driftless");
    for (int i = 1; i < a->argc; i++) {
        const char *word = a->argv[i];
        const bool plain =
            *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_=:,./")];
        if (plain)
            text_add(out, " %s", word);
        else
            add_quoted(out, word);
    }
    if (!out->failed) text_tame(out->data);
}

/* Where runs start, if that was asked for. */
static void tell_start(const fit *f) {
    if (!f->start_about.data) return;
    fprintf(stderr, "driftless: %s", f->start_about.data);
    tell_warnings(f->start_warnings.data ? f->start_warnings.data : "");
}

static void tell_cost(const fit_cost *c, size_t all) {
    const char *most = c->search > 0 ? "at most " : "";
    fprintf(stderr, "driftless: %s%zu evaluations: %zu of the teacher, ", most, all, c->teacher);
    if (c->search > 0) fprintf(stderr, "at most %zu to search times, ", c->search);
    fprintf(stderr, "%zu of the student, %zu to compare", c->student, c->compare);
    if (c->refine > 0)
        fprintf(stderr, ", about %zu to refine (fewer where it ends early)", c->refine);
    fprintf(stderr, "\n");
}

static dfl_status run(const args *a, fit *f) {
    const bool quiet = arg_given(a, "quiet");
    progress bar;
    fit_cost cost;
    TRY(fit_costs(f, &cost));
    const size_t all = cost.teacher + cost.search + cost.student + cost.compare + cost.refine;
    if (!quiet) tell_start(f);
    if (!quiet) tell_cost(&cost, all);
    progress_start(&bar, !quiet, all, 1);
    const dfl_status status = fit_run(f, watch, &bar);
    progress_end(&bar);
    if (status != WATCH_STOPPED) return status;
    return fail(DFL_E_STOPPED,
                "interrupted; the same command goes on with the teacher's states and the "
                "refinement's iterates in %.200s, and no plan was written",
                f->work);
}

static dfl_status finish(const args *a, fit *f) {
    text line = {0}, json = {0}, page = {0};
    command_line(a, &line);
    dfl_status status = line.failed ? fail_memory() : fit_json(f, line.data, &json);
    if (status == DFL_OK) status = write_text(arg(a, "output")->text, json.data);
    if (status == DFL_OK && !arg_given(a, "work")) status = fit_forget(f);
    if (status == DFL_OK && !arg_given(a, "quiet")) {
        fit_print(f, &page);
        status = page.failed ? fail_memory() : print_page(page.data);
    }
    text_free(&line);
    text_free(&json);
    text_free(&page);
    return status;
}

/* The folder is there, or can be made. */
static dfl_status check_work(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return output_check_folder(path);
    if (S_ISDIR(info.st_mode) && access(path, W_OK | X_OK) == 0) return DFL_OK;
    return fail(DFL_E_IO, "--work: %s is no folder that can be written to", path);
}

/* Whatever can be refused is refused before the first evaluation. */
static dfl_status prepare(const args *a, dfl_model **model, fit **f, eye *e, int *code) {
    text spec = {0}, work = {0};
    dfl_status status = make_spec(a, &spec);
    if (status == DFL_OK) status = output_check_folder(arg(a, "output")->text);
    if (status == DFL_OK && arg_given(a, "work")) status = check_work(arg(a, "work")->text);
    if (status == DFL_OK) {
        *code = CODE_MODEL;
        status = open_model(a, model);
    }
    if (status == DFL_OK) {
        *code = CODE_BY_STATUS;
        status = guide_model(a, model);
    }
    if (arg_given(a, "work"))
        text_add(&work, "%s", arg(a, "work")->text);
    else if (arg_given(a, "output"))
        text_add(&work, "%s.teacher", arg(a, "output")->text);
    if (status == DFL_OK && work.failed) status = fail_memory();
    if (status == DFL_OK) status = fit_new(*model, spec.data, work.data, f);
    if (status == DFL_OK) status = open_eye(a, *model, e, *f);
    text_free(&spec);
    text_free(&work);
    return status;
}

static int run_fit(const args *a) {
    dfl_model *model = NULL;
    fit *f = NULL;
    eye e = {0};
    int code = CODE_BY_STATUS;
    stop_install();
    dfl_status status = prepare(a, &model, &f, &e, &code);
    if (status == DFL_OK) status = run(a, f);
    if (status == DFL_OK) status = finish(a, f);
    fit_free(f);
    extractor_free(e.extractor);
    dfl_model_free(model);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}
