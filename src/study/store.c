/* The store of choices: a JSON file of one model, {"format": "driftless-tuned/1", "model": {...},
   "entries": [...]}, an entry for each solver, process, times, grid and budget. */
#include "study/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char format[] = "driftless-tuned/1";

enum { STORE_BYTES_MAX = 16 << 20 };

dfl_status store_path(const dfl_model *model, const char *given, text *out) {
    if (given)
        text_add(out, "%s", given);
    else if (model->card.folder)
        text_add(out, "%s/tuned.json", model->card.folder);
    else
        return fail(DFL_E_ARG, "this model has no folder to keep tuned values in; name a file");
    return out->failed ? fail_memory() : DFL_OK;
}

static dfl_status check_model(const char *path, const json_in *in, const dfl_model *model) {
    char hex[DIGEST_HEX];
    const char *digest;
    json_in of;
    TRY(model_identify(model, hex));
    TRY(json_check_format(in, format));
    TRY(json_get_object(in, "model", &of));
    TRY(json_get_text(&of, "digest", &digest));
    if (*hex && strcmp(hex, digest) == 0) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "%s holds values tuned for another model (or another guidance): its digest is "
                "%.12s, this model's %.12s",
                path, digest, *hex ? hex : "unknown");
}

dfl_status store_open(const dfl_model *model, const char *path, json_t **root,
                      const json_t **entries) {
    json_in in;
    dfl_status status = json_read(path, STORE_BYTES_MAX, root, &in);
    if (status == DFL_OK) status = check_model(path, &in, model);
    if (status == DFL_OK) status = json_get_array(&in, "entries", entries);
    if (status != DFL_OK) {
        json_decref(*root);
        *root = NULL;
    }
    return status;
}

dfl_status store_check(const dfl_model *model, const char *given) {
    text path = {0};
    json_t *root = NULL;
    const json_t *entries;
    dfl_status status = store_path(model, given, &path);
    if (status == DFL_OK && access(path.data, F_OK) == 0)
        status = store_open(model, path.data, &root, &entries);
    json_decref(root);
    text_free(&path);
    return status;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static json_t *text_member(text *t) {
    json_t *value = t->failed || !t->data ? NULL : json_string(t->data);
    text_free(t);
    return value;
}

/* json_pack takes its values over, and refuses NULL, which is what any failure leaves. */
static dfl_status make_entry(const dfl_tuning *tuning, const tune_trial *trial, json_t **out) {
    text solver = {0}, process_text = {0}, grid = {0}, reference = {0};
    json_t *values = json_object();
    tune_solver_text(tuning, NULL, &solver);
    family_print(&tuning->process->row->is, &tuning->process->options, &process_text);
    tune_reference_text(tuning, &reference);
    const dfl_status status = tune_grid_text(tuning, trial, &grid);
    bool whole = true;
    for (int k = 0; k < TUNE_KAPPA && values; k++)
        if (tuning->scan[k].n > 0 &&
            json_object_set_new(values, tune_keys[k], json_real(trial->value[k])) != 0)
            whole = false;
    *out = json_pack(
        "{s:o, s:o, s:f, s:f, s:b, s:i, s:o, s:o, s:s, s:f, s:f, s:o, s:I, s:o, s:s}", "solver",
        text_member(&solver), "process", text_member(&process_text), "t_start", tuning->t[0],
        "t_end", tuning->t[1], "denoise", (int)opt_bool(&tuning->spec, "denoise"), "nfe",
        trial->nfe, "grid", text_member(&grid), "values", values, "measure",
        tuning->stochastic ? "sliced Wasserstein distance" : "median distance", "error",
        trial->error, "floor", tuning->floor, "reference", text_member(&reference), "samples",
        (json_int_t)tuning->samples, "seed", json_digits(tuning->seed), "version", dfl_version());
    if (status == DFL_OK && *out && whole) return DFL_OK;
    json_decref(*out);
    *out = NULL;
    return status == DFL_OK ? fail_memory() : status;
}

static bool replaces(const json_t *a, const json_t *b) {
    static const char *const keys[] = {"solver",  "process", "t_start", "t_end",
                                       "denoise", "nfe",     "grid"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i]))) return false;
    return true;
}

static dfl_status merge(const dfl_tuning *tuning, json_t *entries, size_t *added) {
    for (size_t i = 0; i < tuning->ntrials; i++) {
        json_t *entry;
        if (!tuning->trials[i].chosen) continue;
        TRY(make_entry(tuning, &tuning->trials[i], &entry));
        for (size_t j = json_array_size(entries); j-- > 0;)
            if (replaces(json_array_get(entries, j), entry)) json_array_remove(entries, j);
        if (json_array_append_new(entries, entry) != 0) return fail_memory();
        ++*added;
    }
    return DFL_OK;
}

static dfl_status new_store(const dfl_model *model, json_t **root) {
    char hex[DIGEST_HEX];
    TRY(model_identify(model, hex));
    if (!*hex) return fail(DFL_E_ARG, "tuned values need a model with a network, not a card alone");
    const char *name = model->card.name ? model->card.name : "";
    *root = json_pack("{s:s, s:{s:s, s:s}, s:[]}", "format", format, "model", "name", name,
                      "digest", hex, "entries");
    return *root ? DFL_OK : fail_memory();
}

static dfl_status write_store(const char *path, const json_t *root) {
    text out = {0};
    json_add(&out, root, 1);
    text_add(&out, "\n");
    const dfl_status status = out.failed ? fail_memory() : file_save(path, out.data, out.len);
    text_free(&out);
    return status;
}

dfl_status dfl_tuning_save(const dfl_tuning *tuning, const char *given) {
    if (!tuning || !tuning->finished)
        return fail(DFL_E_ARG, "dfl_tuning_save: the scan has not been run to its end");
    text path = {0};
    json_t *root = NULL;
    const json_t *entries;
    size_t added = 0;
    dfl_status status = store_path(tuning->model, given, &path);
    if (status == DFL_OK)
        status = access(path.data, F_OK) == 0
                     ? store_open(tuning->model, path.data, &root, &entries)
                     : new_store(tuning->model, &root);
    if (status == DFL_OK) status = merge(tuning, json_object_get(root, "entries"), &added);
    if (status == DFL_OK && added == 0)
        status = fail(DFL_E_NONFINITE, "every run of the scan diverged; there is nothing to keep");
    if (status == DFL_OK) status = write_store(path.data, root);
    json_decref(root);
    text_free(&path);
    return status;
}
