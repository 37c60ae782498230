/* "driftless sample": from the command line to a finished output, in stages. Everything that can be
   refused is refused before the first evaluation, so that no long run is lost at its end. */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

#include "open.h"
#include "spec.h"
#include "start.h"
#include "stop.h"
#include "study/stored.h"
#include "study/study.h"

static int run_sample(const args *a);

static const arg_row rows[] = {
    {'o', "output", NULL, "PATH", NULL,
     "required: .png (a grid), .npz, .npy, or a folder of pictures (PATH/)", ARG_OUTPUT, 0, 0},
    {'n', "count", NULL, "N", "64, or what --init or --noise holds", "samples to draw", ARG_INT, 1,
     1e9},
    SPEC_ROWS,
    {0, "plan", NULL, "FILE", NULL, "run this plan (JSON) in place of the options above", ARG_FILE,
     0, 0},
    {0, "force", NULL, NULL, NULL, "run the plan though it was fitted to another network", ARG_FLAG,
     0, 0},
    {'s', "seed", NULL, "S", "0", "seed of all random numbers", ARG_INT, 0, 9e18},
    {0, "first", NULL, "INDEX", "0", "index of the first sample: cut runs join up", ARG_INT, 0,
     4e18},
    {'c', "class", NULL, "C", "sample i has class i mod C",
     "class of all samples: index, name, or null", ARG_TEXT, 0, 0},
    GUIDANCE_ROWS,
    {0, "dtype", NULL, "float32|float64", "float32", "arithmetic of the states", ARG_CHOICE, 0, 0},
    {0, "precision", NULL, "f32|bf16|f16", "f32", "arithmetic inside the network", ARG_CHOICE, 0,
     0},
    {'t', "threads", NULL, "T", "all cores", "threads of the network", ARG_INT, 0, 1024},
    {0, "batch", NULL, "B", "64", "samples in memory at once; no influence on results", ARG_INT, 1,
     1e6},
    {0, "microbatch", NULL, "B", "16", "samples per network call", ARG_INT, 1, 4096},
    {0, "model-cache", NULL, "DIR", NULL, "keep compiled networks in this folder", ARG_FILE, 0, 0},
    {0, "init", NULL, "FILE", NULL, "start from the states in this .npy", ARG_FILE, 0, 0},
    START_ROWS,
    {0, "noise", NULL, "FILE", NULL, "take random numbers from this .npz", ARG_FILE, 0, 0},
    {0, "save-noise", NULL, "FILE", NULL, "save the random numbers as .npz", ARG_OUTPUT, 0, 0},
    {0, "trajectory", NULL, "FILE", NULL, "save the states of all steps as .npz", ARG_OUTPUT, 0, 0},
    {0, "json", NULL, "FILE", NULL, "save a run record; - writes it to standard output", ARG_OUTPUT,
     0, 0},
    {0, "columns", NULL, "N", "about square", "columns of a grid", ARG_INT, 1, 4096},
    {0, "float", NULL, NULL, NULL, "numbers, not bytes, in an .npz of images", ARG_FLAG, 0, 0},
    {'q', "quiet", NULL, NULL, NULL, "no progress, warnings or summary", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_sample = {
    "sample",
    "MODEL -o PATH [options]",
    "Draws samples from a model: a folder with model.json and an ONNX network, or "
    "mixture:FILE.json, an analytic Gaussian mixture.",
    "example:\n  driftless sample models/fashion-vp -n 64 --solver deis:order=3 \\\n"
    "      --steps 10 --grid power:kappa=2 --seed 0 -o grid.png\n",
    1,
    1,
    rows,
    run_sample};

const char *job_text(const job *j, const char *name) {
    return arg(j->args, name)->text;
}

long long job_int(const job *j, const char *name, long long fallback) {
    return arg_given(j->args, name) ? arg(j->args, name)->integer : fallback;
}

/* ---- stages: before the model ---------------------------------------------------------------- */

static dfl_status read_settings(job *j) {
    if (!arg_given(j->args, "output"))
        return fail(DFL_E_ARG, "sample needs an output: -o PATH, a .png, .npz, .npy or a folder/");
    j->where = j->args->operand[0];
    j->output = job_text(j, "output");
    j->seed = (uint64_t)job_int(j, "seed", 0);
    j->first = (uint64_t)job_int(j, "first", 0);
    const char *dtype = job_text(j, "dtype");
    j->dtype = dtype && strcmp(dtype, "float64") == 0 ? DFL_FLOAT64 : DFL_FLOAT32;
    j->type = j->dtype == DFL_FLOAT64 ? ARRAY_F64 : ARRAY_F32;
    if (arg_given(j->args, "init") && start_given(j->args))
        return fail(DFL_E_ARG, "--%s cannot stand beside --init, which gives the start states",
                    start_given(j->args));
    TRY(start_refuse(j->args));
    if (arg_given(j->args, "plan")) return spec_refuse(j->args, "plan");
    if (arg_given(j->args, "force"))
        return fail(DFL_E_ARG, "--force is for a plan that --plan names");
    const char *solver = job_text(j, "solver");
    j->adaptive = solver && adaptive_is_named(solver);
    if (j->adaptive) TRY(adaptive_refuse(j->args));
    return spec_make(j->args, &j->spec);
}

static dfl_status check_outputs(job *j) {
    static const char *const archives[] = {"trajectory", "save-noise"};
    TRY(output_check(j->output));
    if (arg_given(j->args, "columns") && !text_ends_in(j->output, ".png"))
        return fail(DFL_E_ARG, "--columns goes with a .png, which is a grid of pictures");
    if (arg_given(j->args, "float") && !text_ends_in(j->output, ".npz"))
        return fail(DFL_E_ARG, "--float goes with an .npz; an .npy holds numbers anyway");
    for (size_t i = 0; i < sizeof archives / sizeof *archives; i++)
        if (arg_given(j->args, archives[i]))
            TRY(output_check_named(job_text(j, archives[i]), ".npz"));
    const char *json = job_text(j, "json");
    if (json && strcmp(json, "-") != 0) TRY(output_check_folder(json));
    return DFL_OK;
}

static dfl_status read_inputs(job *j) {
    const char *init = job_text(j, "init"), *noise = job_text(j, "noise");
    size_t rows_given = 64;
    if (noise) TRY(noise_open(&j->noise, noise));
    if (noise && noise_samples(&j->noise) > 0) rows_given = noise_samples(&j->noise);
    if (init) {
        TRY(init_read(init, &j->init));
        rows_given = j->init.shape[0];
    }
    j->count = (size_t)job_int(j, "count", (long long)rows_given);
    j->noise.seed = j->seed;
    j->noise.first = j->first;
    j->noise.count = j->count;
    j->noise.saving = arg_given(j->args, "save-noise");
    return DFL_OK;
}

static dfl_status model_text(const job *j, text *out) {
    static const char *const plain[] = {"precision", "threads", "microbatch"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (arg_given(j->args, plain[i]))
            text_add(out, "%s%s=%s", out->len ? "," : "", plain[i], job_text(j, plain[i]));
    if (arg_given(j->args, "model-cache")) {
        text_add(out, "%scache=", out->len ? "," : "");
        opt_quote(out, job_text(j, "model-cache"));
    }
    text_add(out, "%s", "");
    return out->failed ? fail_memory() : DFL_OK;
}

/* Wrong options are a usage error, which dfl_model_open cannot tell from a bad card. */
static dfl_status check_model_options(job *j) {
    text options = {0};
    opts parsed = {0};
    dfl_status status = model_text(j, &options);
    if (status == DFL_OK) status = opts_parse("model", model_options, options.data, &parsed);
    opts_free(&parsed);
    text_free(&options);
    return status;
}

/* ---- stages: model and plan ------------------------------------------------------------------ */

static dfl_status load_model(job *j) {
    const double began = seconds_now();
    text options = {0};
    dfl_status status = model_text(j, &options);
    if (status == DFL_OK) status = dfl_model_open(j->where, options.data, &j->model);
    text_free(&options);
    if (status == DFL_OK && !arg_given(j->args, "quiet"))
        tell_warnings(j->model->card.warnings.data);
    j->seconds[TIME_OPEN] = seconds_now() - began;
    return status;
}

static dfl_status choose_class(job *j) {
    TRY(guide_model(j->args, &j->model)); /* a classifier may bring the classes */
    j->labelled = arg_given(j->args, "class");
    return j->labelled ? find_class(&j->model->card, job_text(j, "class"), &j->label) : DFL_OK;
}

/* A plan that was fitted belongs to its network. */
static dfl_status read_plan(job *j) {
    bool other_guidance;
    text_add(&j->file, "%s", job_text(j, "plan"));
    if (j->file.failed) return fail_memory();
    TRY(plan_load(j->file.data, &j->plan));
    const dfl_status status = stored_check(j->plan, j->model, &other_guidance);
    if (status == DFL_E_COMBINATION && !arg_given(j->args, "force"))
        return fail_in(status, "%s (--force runs it all the same)", j->file.data);
    if (status != DFL_E_COMBINATION) TRY(status);
    if (other_guidance && !arg_given(j->args, "quiet"))
        tell_warnings("the plan was fitted to this network under another guidance");
    return DFL_OK;
}

static dfl_status compile_plan(job *j) {
    spec_made made = {.quiet = arg_given(j->args, "quiet"), .spec = j->spec};
    const dfl_status status = spec_compile(j->args, j->model, &made);
    j->spec = made.spec;
    j->file = made.file;
    j->plan = made.plan;
    return status;
}

static dfl_status make_plan(job *j) {
    const double began = seconds_now();
    if (j->adaptive) return DFL_OK;
    TRY(arg_given(j->args, "plan") ? read_plan(j) : compile_plan(j));
    if (!arg_given(j->args, "quiet")) TRY(plan_tell_warnings(j->plan));
    TRY(plan_json(j->plan, &j->plan_text));
    json_t *root = json_loads(j->plan_text, JSON_REJECT_DUPLICATES, NULL);
    if (!root) return fail_memory();
    j->meta = json_incref(json_object_get(root, "meta"));
    json_decref(root);
    j->seconds[TIME_PLAN] = seconds_now() - began;
    return DFL_OK;
}

static dfl_status choose_time(job *j) {
    return start_time(j->args, j->model, &j->spec);
}

/* ---- stages: after the run ------------------------------------------------------------------- */

static dfl_status write_outputs(job *j) {
    const double began = seconds_now();
    TRY(sink_commit(j->sink));
    if (j->track.states)
        TRY(trajectory_write(&j->track, job_text(j, "trajectory"), &j->model->card, j->type,
                             dfl_plan_components(j->plan)));
    if (j->noise.saving) TRY(noise_save(&j->noise, job_text(j, "save-noise")));
    j->seconds[TIME_WRITE] += seconds_now() - began;
    return DFL_OK;
}

static dfl_status write_record(job *j) {
    char *record = NULL;
    const char *path = job_text(j, "json");
    if (!path) return DFL_OK;
    TRY(record_make(j, &record));
    const dfl_status status = write_text(path, record);
    free(record);
    return status;
}

static dfl_status print_summary(job *j) {
    const char *json = job_text(j, "json");
    if (arg_given(j->args, "quiet") || (json && strcmp(json, "-") == 0)) return DFL_OK;
    text out = {0};
    dfl_status status = summary_make(j, &out);
    if (status == DFL_OK) status = print_page(out.data);
    text_free(&out);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static const struct {
    dfl_status (*run)(job *j);
    int code; /* when it fails */
} stages[] = {{read_settings, CODE_BY_STATUS}, {check_outputs, CODE_BY_STATUS},
              {read_inputs, CODE_FAILURE},     {check_model_options, CODE_BY_STATUS},
              {load_model, CODE_MODEL},        {choose_class, CODE_BY_STATUS},
              {choose_time, CODE_BY_STATUS},   {make_plan, CODE_BY_STATUS},
              {job_prepare, CODE_BY_STATUS},   {start_tell, CODE_BY_STATUS},
              {job_draw, CODE_BY_STATUS},      {write_outputs, CODE_FAILURE},
              {write_record, CODE_FAILURE},    {print_summary, CODE_FAILURE}};

static void job_free(job *j) {
    sink_free(j->sink);
    dfl_run_free(j->run);
    dfl_ode_free(j->ode);
    dfl_plan_free(j->plan);
    dfl_model_free(j->model);
    trajectory_free(&j->track);
    noise_free(&j->noise);
    array_free(&j->init);
    json_decref(j->meta);
    text_free(&j->spec);
    text_free(&j->file);
    text_free(&j->software);
    free(j->plan_text);
    free(j->labels);
    free(j->samples);
    free(j->nfe);
    free(j->done);
}

static int run_stages(job *j) {
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        /* Once the outputs stand under their names, a signal comes too late to undo them. */
        const bool undoable = stages[i].run != write_record && stages[i].run != print_summary;
        dfl_status status = DFL_OK;
        if (undoable && stop_requested())
            status = fail(DFL_E_STOPPED, "interrupted");
        else
            status = stages[i].run(j);
        if (status == DFL_E_STOPPED) {
            fail(status, "interrupted; nothing was written");
            return tell_failure(status, CODE_INTERRUPTED);
        }
        if (status != DFL_OK) return tell_failure(status, stages[i].code);
    }
    return CODE_OK;
}

static int run_sample(const args *a) {
    job *j = mem_array(1, sizeof *j);
    if (!j) return tell_failure(fail_memory(), CODE_FAILURE);
    j->args = a;
    j->began = seconds_now();
    stop_install();
    const int code = run_stages(j);
    job_free(j);
    free(j);
    return code;
}
