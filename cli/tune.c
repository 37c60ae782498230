/* "driftless tune": finds the free numbers of a solver for a model and a budget, and keeps them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "open.h"
#include "output.h"
#include "progress.h"
#include "spec.h"
#include "start.h"
#include "stop.h"
#include "study/study.h"

static int run_tune(const args *a);

static const arg_row rows[] = {
    {0, "solver", "sampling-method", "TEXT", NULL,
     "required: solver; options given with it stay fixed", ARG_TEXT, 0, 0},
    {0, "nfe", NULL, "N[,N...]", NULL, "required: budgets of network evaluations per sample",
     ARG_TEXT, 0, 0},
    {'n', "samples", NULL, "N", "256", "starts that every choice is tried on", ARG_INT, 2, 1 << 20},
    {'s', "seed", NULL, "S", "1000", "seed of the starts; not that of later samples", ARG_INT, 0,
     9e18},
    {0, "scan", NULL, "KEY=LO:HI:N,...", "what the solver has",
     "values to try, of lambda, lambda_s and kappa (of grid power)", ARG_TEXT, 0, 0},
    {0, "grid", "scheduler", "TEXT", "power:kappa=1 and power:kappa=2",
     "this time grid, in place of a scan of kappa", ARG_TEXT, 0, 0},
    {0, "reference", NULL, "auto|ode45|heun", "auto",
     "what is held to be true; auto: ode45 where the model takes mixed times, else 256 steps of "
     "heun",
     ARG_CHOICE, 0, 0},
    {0, "process", NULL, "TEXT", "the card's", "forward process and its options", ARG_TEXT, 0, 0},
    {0, "t-start", NULL, "T", "the card's t_max", "time to start from", ARG_REAL, 0, 1},
    {0, "t-end", NULL, "T", "the card's t_min", "time to end at", ARG_REAL, 0, 1},
    {0, "denoise", NULL, NULL, NULL, "one more evaluation, to land on clean samples", ARG_FLAG, 0,
     0},
    GUIDANCE_ROWS,
    {'t', "threads", NULL, "T", "all cores", "threads of the network", ARG_INT, 0, 1024},
    {'o', "output", NULL, "FILE", "MODEL/tuned.json", "where the choices are kept", ARG_OUTPUT, 0,
     0},
    {'q', "quiet", NULL, NULL, NULL, "no progress and no table", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_tune = {
    "tune",
    "MODEL --solver TEXT --nfe N[,N...] [options]",
    "Tries a solver's free numbers and time grids on a model, against a converged reference from "
    "the same starts, and keeps the best. \"lambda=auto\", \"lambda_s=auto\" and --grid auto of "
    "sample, plan and eval then use them.",
    "example:\n  driftless tune mixture:toy.json --solver conjugate:type=2 --nfe 50 \\\n"
    "      --scan lambda=0:4:9 -o tuned.json\n",
    1,
    1,
    rows,
    run_tune};

static dfl_status make_spec(const args *a, text *out) {
    static const char *const words[] = {"solver",    "scan",    "grid",    "samples", "seed",
                                        "reference", "process", "t-start", "t-end"};
    if (!arg_given(a, "solver") || !arg_given(a, "nfe"))
        return fail(DFL_E_ARG, "usage: driftless tune %s", a->command->operands);
    const char *nfe = arg(a, "nfe")->text;
    if (nfe[strspn(nfe, "0123456789,")])
        return fail(DFL_E_ARG, "--nfe: \"%s\" is not a list of whole numbers like 10,20,50", nfe);
    text_add(out, "nfe=[%s]", nfe);
    TRY(spec_add(a, words, sizeof words / sizeof *words, false, out));
    if (arg_given(a, "denoise")) text_add(out, " denoise=1");
    return out->failed ? fail_memory() : DFL_OK;
}

static int watch(void *user, size_t run, size_t runs) {
    progress *bar = user;
    (void)runs;
    if (stop_requested()) return WATCH_STOPPED;
    if ((double)run > bar->done) progress_add(bar, 1);
    return 0;
}

static dfl_status get_table(const void *tuning, char *buf, size_t cap, size_t *need) {
    return dfl_tuning_to_text(tuning, buf, cap, need);
}

static dfl_status tune(const args *a, dfl_tuning *tuning, size_t runs) {
    const bool quiet = arg_given(a, "quiet");
    char *table = NULL;
    progress bar;
    progress_start(&bar, !quiet, runs, 1);
    dfl_status status = dfl_tuning_run(tuning, watch, &bar);
    progress_end(&bar);
    if (status == WATCH_STOPPED) return fail(DFL_E_STOPPED, "interrupted; nothing was written");
    TRY(status);
    TRY(fetch_text(get_table, tuning, &table));
    if (!quiet) status = print_page(table);
    free(table);
    TRY(status);
    return dfl_tuning_save(tuning, arg(a, "output")->text);
}

/* Every choice begins at the same time: one step is enough to say how far that is from the data. */
static dfl_status tell_start(const args *a, dfl_model *model) {
    static const char *const words[] = {"process", "t-start", "t-end"};
    text spec = {0};
    dfl_plan *plan = NULL;
    dfl_status status = spec_add(a, words, sizeof words / sizeof *words, false, &spec);
    text_add(&spec, "%ssolver=deis:order=0 steps=1", spec.len ? " " : "");
    if (status == DFL_OK) status = spec.failed ? fail_memory() : DFL_OK;
    if (status == DFL_OK) status = dfl_plan_new(model, spec.data, &plan);
    if (status == DFL_OK) status = start_tell_plan(a, model, plan);
    dfl_plan_free(plan);
    text_free(&spec);
    return status;
}

/* Whatever can be refused is refused before the first evaluation. */
static dfl_status prepare(const args *a, dfl_model **model, dfl_tuning **tuning, int *code) {
    text spec = {0};
    const char *output = arg(a, "output")->text;
    dfl_status status = make_spec(a, &spec);
    if (status == DFL_OK && output) status = output_check_folder(output);
    if (status == DFL_OK && !output && mixture_path(a->operand[0]))
        status = fail(DFL_E_ARG, "a mixture has no folder for its tuned values: give -o FILE");
    if (status == DFL_OK) {
        *code = CODE_MODEL;
        status = open_model(a, model);
    }
    if (status == DFL_OK) {
        *code = CODE_BY_STATUS;
        status = guide_model(a, model);
    }
    if (status == DFL_OK) status = dfl_tuning_new(*model, spec.data, tuning);
    if (status == DFL_OK) status = store_check(*model, output);
    if (status == DFL_OK) status = tell_start(a, *model);
    text_free(&spec);
    return status;
}

static int run_tune(const args *a) {
    dfl_model *model = NULL;
    dfl_tuning *tuning = NULL;
    int code = CODE_BY_STATUS;
    stop_install();
    dfl_status status = prepare(a, &model, &tuning, &code);
    if (status == DFL_OK) status = tune(a, tuning, dfl_tuning_runs(tuning));
    dfl_tuning_free(tuning);
    dfl_model_free(model);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}
