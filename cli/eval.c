/* "driftless eval": how near generated pictures are to real ones, by features of any extractor; and
   statistics of features that are kept, continued and merged. */
#include "eval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "open.h"
#include "output.h"
#include "shipped.h"
#include "spec.h"
#include "start.h"
#include "stop.h"

static int run_eval(const args *a);

static const arg_row rows[] = {
    {'r', "ref", NULL, "PATH", NULL, "reference: pictures, features or statistics", ARG_FILE, 0, 0},
    SHIPPED_EXTRACTOR_ROW,
    {'m', "metrics", NULL, "LIST", "all that can be had", "some of fid,kid,is,pr,dc,sw,mmd",
     ARG_TEXT, 0, 0},
    {'n', "count", NULL, "N", "all; of a model 10000", "pictures to evaluate, the first ones",
     ARG_INT, 1, 1e9},
    {0, "first", NULL, "INDEX", "0", "index of the first picture or sample: cut runs join up",
     ARG_INT, 0, 4e18},
    {0, "range", NULL, "LO,HI", "-1,1", "numbers of black and white in arrays that are not bytes",
     ARG_TEXT, 0, 0},
    {'o', "stats-out", "output", "FILE", NULL,
     "keep statistics as .npz; an interrupted run goes on from them", ARG_OUTPUT, 0, 0},
    {0, "features-out", NULL, "FILE", NULL, "keep the features as .npy", ARG_OUTPUT, 0, 0},
    {0, "json", NULL, "FILE", NULL, "save a record; - writes it to standard output", ARG_OUTPUT, 0,
     0},
    SPEC_ROWS,
    START_ROWS,
    {0, "plan", NULL, "FILE", NULL, "draw by this plan (JSON) in place of the options above",
     ARG_FILE, 0, 0},
    {'s', "seed", NULL, "S", "0", "seed of all random numbers of a model", ARG_INT, 0, 9e18},
    GUIDANCE_ROWS,
    {0, "batch", NULL, "B", "64", "samples of a model at once; no influence on results", ARG_INT, 1,
     1e6},
    {'t', "threads", NULL, "T", "all cores", "threads of the networks", ARG_INT, 0, 1024},
    {'q', "quiet", NULL, NULL, NULL, "no progress and no table", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_eval = {
    "eval",
    "GENERATED --ref REFERENCE [--features FOLDER] | merge FILE... -o FILE [options]",
    "Measures how near generated pictures are to real ones. Both are a folder of .png, .npz "
    "(arr_0), "
    ".npy, or idx3-ubyte (.gz); GENERATED may be model:FOLDER, drawn as it is evaluated, and "
    "REFERENCE a file of statistics (mu and sigma). \"merge\" adds up statistics of different "
    "pictures.",
    "example:\n  driftless eval model:models/fashion-vp -n 1000 --nfe 10 \\\n"
    "      --ref t10k-images-idx3-ubyte.gz --features models/fashion-classifier\n",
    1,
    OPERANDS_MAX,
    rows,
    run_eval};

/* ---- what is asked --------------------------------------------------------------------------- */

static dfl_status add_metric(const char *word, size_t n, unsigned *wanted) {
    for (int i = 0; i < METRICS; i++) {
        if (strlen(metric_keys[i]) != n || memcmp(metric_keys[i], word, n) != 0) continue;
        *wanted |= 1U << (unsigned)i;
        return DFL_OK;
    }
    return fail(DFL_E_ARG, "--metrics: \"%.*s\" is none of fid, kid, is, pr, dc, sw, mmd", (int)n,
                word);
}

static dfl_status read_metrics(eval_job *j) {
    const char *list = arg(j->args, "metrics")->text;
    if (!list) return DFL_OK;
    while (true) {
        const size_t n = strcspn(list, ",");
        TRY(add_metric(list, n, &j->wanted));
        if (!list[n]) return DFL_OK;
        list += n + 1;
    }
}

static dfl_status read_range(eval_job *j) {
    const char *const given = arg(j->args, "range")->text;
    const char *const comma = given ? strchr(given, ',') : NULL;
    j->range[0] = -1;
    j->range[1] = 1;
    if (!given) return DFL_OK;
    char *const low = text_copy(given);
    if (!low) return fail_memory();
    if (comma) low[comma - given] = 0;
    const bool good = comma && text_to_real(low, &j->range[0]) &&
                      text_to_real(comma + 1, &j->range[1]) && j->range[0] < j->range[1];
    free(low);
    if (good) return DFL_OK;
    return fail(DFL_E_ARG, "--range: \"%s\" is not LO,HI, two numbers that rise", given);
}

/* Features take their name by renaming, which must not get round permissions or replace a device. */
static dfl_status check_replaced(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return DFL_OK;
    if (!S_ISREG(info.st_mode)) return fail(DFL_E_IO, "%s: is not a regular file", path);
    return access(path, W_OK) == 0 ? DFL_OK : fail(DFL_E_IO, "%s: %s", path, strerror(errno));
}

static dfl_status check_outputs(const eval_job *j) {
    const char *const sums = arg(j->args, "stats-out")->text;
    const char *const kept = arg(j->args, "features-out")->text;
    const char *const json = arg(j->args, "json")->text;
    if (sums) TRY(output_check_named(sums, ".npz"));
    if (kept) TRY(output_check_named(kept, ".npy"));
    if (json && strcmp(json, "-") != 0) TRY(output_check_folder(json));
    return kept ? check_replaced(kept) : DFL_OK;
}

static dfl_status read_settings(eval_job *j) {
    const args *const a = j->args;
    j->generated = a->operand[0];
    j->reference = arg(a, "ref")->text;
    if (a->noperands > 1) return fail(DFL_E_ARG, "eval has no place for \"%s\"", a->operand[1]);
    TRY(read_metrics(j));
    TRY(read_range(j));
    TRY(start_refuse(j->args));
    return check_outputs(j);
}

/* ---- after the run --------------------------------------------------------------------------- */

static dfl_status tell(eval_job *j) {
    const char *const json = arg(j->args, "json")->text;
    text record = {0}, page = {0};
    dfl_status status = eval_notes(j);
    if (status == DFL_OK && json) {
        status = eval_record(j, &record);
        if (status == DFL_OK) status = write_text(json, record.data);
    }
    if (status == DFL_OK && !arg_given(j->args, "quiet") && (!json || strcmp(json, "-") != 0)) {
        status = eval_page(j, &page);
        if (status == DFL_OK) status = print_page(page.data);
    }
    text_free(&record);
    text_free(&page);
    return status;
}

static const struct {
    dfl_status (*run)(eval_job *j);
    int code; /* when it fails */
} stages[] = {{read_settings, CODE_BY_STATUS}, {eval_open, CODE_BY_STATUS},
              {eval_gather, CODE_BY_STATUS},   {eval_compare, CODE_BY_STATUS},
              {eval_finish, CODE_FAILURE},     {tell, CODE_FAILURE}};

static int run_job(const args *a) {
    eval_job *const j = mem_array(1, sizeof *j);
    if (!j) return tell_failure(fail_memory(), CODE_FAILURE);
    const double began = seconds_now();
    int code = CODE_OK;
    j->args = a;
    stop_install();
    for (size_t i = 0; i < sizeof stages / sizeof *stages && code == CODE_OK; i++) {
        const dfl_status status = stages[i].run(j);
        j->seconds = seconds_now() - began;
        if (status != DFL_OK) code = tell_failure(status, j->code ? j->code : stages[i].code);
    }
    eval_close(j);
    free(j);
    return code;
}

/* ---- merging --------------------------------------------------------------------------------- */

/* Options that belong to evaluating would be ignored. */
static dfl_status check_only_output(const args *a) {
    for (const arg_row *row = a->command->rows; row->name; row++) {
        const bool fine = strcmp(row->name, "stats-out") == 0 || strcmp(row->name, "quiet") == 0;
        if (!fine && arg_given(a, row->name))
            return fail(DFL_E_ARG, "eval merge: --%s has no meaning here", row->name);
    }
    return DFL_OK;
}

static dfl_status merge_files(const char *const *paths, int n, const char *path) {
    statistics sum = {0};
    dfl_status status = statistics_read(paths[0], &sum);
    for (int i = 1; i < n && status == DFL_OK; i++) {
        statistics next = {0};
        status = statistics_read(paths[i], &next);
        if (status == DFL_OK) status = statistics_merge(&sum, &next, paths[i]);
        statistics_free(&next);
    }
    if (status == DFL_OK) status = statistics_write(&sum, path);
    statistics_free(&sum);
    return status;
}

static dfl_status merge(const args *a) {
    const char *const path = arg(a, "stats-out")->text;
    if (a->noperands < 3) return fail(DFL_E_ARG, "eval merge needs at least two files");
    if (!path) return fail(DFL_E_ARG, "eval merge needs an output: -o FILE");
    TRY(check_only_output(a));
    TRY(output_check_named(path, ".npz"));
    return merge_files(&a->operand[1], a->noperands - 1, path);
}

static int run_eval(const args *a) {
    if (strcmp(a->operand[0], "merge") != 0) return run_job(a);
    const dfl_status status = merge(a);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_BY_STATUS);
}
