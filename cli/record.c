/* What is told about a finished run: a short summary for people, and the run record, a JSON text
   with everything needed to repeat the run and to know what it cost. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "prior/prior.h"
#include "sample.h"
#include "spec.h"

/* Command lines and paths are bytes; those that are not UTF-8 lose what JSON cannot hold. */
static json_t *words(const char *s) {
    json_t *value = json_string(s);
    if (value) return value;
    char *copy = text_copy(s);
    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p >= 128) *p = '?';
    value = copy ? json_string(copy) : NULL;
    free(copy);
    return value;
}

static json_t *size(size_t n) {
    return json_integer((json_int_t)n);
}

/* ---- parts of the record --------------------------------------------------------------------- */

static json_t *arguments(json_builder *b, const args *a) {
    json_t *list = json_array();
    for (int i = 1; i < a->argc; i++) json_push(b, list, words(a->argv[i]));
    return list;
}

static dfl_status get_info(const void *model, char *buf, size_t cap, size_t *need) {
    return dfl_model_info(model, buf, cap, need);
}

static dfl_status put_digest(json_builder *b, json_t *object, const char *key, const char *path) {
    char hex[DIGEST_HEX];
    TRY(digest_file(path, hex));
    json_put(b, object, key, json_string(hex));
    return DFL_OK;
}

/* The file that says what the model is: a card, or what a card was made of. */
static dfl_status put_card_digest(json_builder *b, json_t *object, const char *folder) {
    static const char *const files[][2] = {{"model.json", "card_sha256"},
                                           {"scheduler/scheduler_config.json", "scheduler_sha256"}};
    text path = {0};
    text_add(&path, "%s/%s", folder, files[0][0]);
    const bool own = !path.failed && access(path.data, F_OK) == 0;
    if (!own) {
        text_free(&path);
        text_add(&path, "%s/%s", folder, files[1][0]);
    }
    const dfl_status status =
        path.failed ? fail_memory() : put_digest(b, object, files[own ? 0 : 1][1], path.data);
    text_free(&path);
    return status;
}

static dfl_status put_model(json_builder *b, json_t *root, const job *j) {
    json_t *model = json_object();
    const card *c = &j->model->card;
    char *info = NULL;
    json_put(b, root, "model", model);
    json_put(b, model, "where", words(j->where));
    if (mixture_path(j->where))
        TRY(put_digest(b, model, "mixture_sha256", mixture_path(j->where)));
    else
        TRY(put_card_digest(b, model, j->where));
    if (c->network_file) TRY(put_digest(b, model, "network_sha256", c->network_file));
    if (arg_given(j->args, "classifier-guidance") && c->classifier)
        TRY(put_digest(b, model, "classifier_sha256", c->classifier->network_file));
    TRY(fetch_text(get_info, j->model, &info));
    json_put(b, model, "info", json_loads(info, JSON_REJECT_DUPLICATES, NULL));
    free(info);
    return DFL_OK;
}

static void put_plan(json_builder *b, json_t *root, const job *j) {
    if (j->adaptive) {
        json_put(b, root, "adaptive", adaptive_record(j));
        return;
    }
    json_t *plan = json_object();
    char hex[DIGEST_HEX];
    digest_bytes(j->plan_text, strlen(j->plan_text), hex);
    json_put(b, root, "plan", plan);
    json_put(b, plan, "sha256", json_string(hex));
    if (j->file.len)
        json_put(b, plan, "file", words(j->file.data));
    else
        json_put(b, plan, "spec", words(j->spec.data));
    json_put(b, plan, "steps", size(dfl_plan_steps(j->plan)));
    json_put(b, plan, "nfe", size(dfl_plan_nfe(j->plan)));
    json_put(b, plan, "draws", size(dfl_plan_draws(j->plan)));
    if (j->meta) json_put(b, plan, "meta", json_incref(j->meta));
}

static void put_run(json_builder *b, json_t *root, const job *j) {
    json_t *run = json_object(), *options = json_object();
    json_put(b, root, "run", run);
    json_put(b, run, "seed", json_digits(j->seed));
    json_put(b, run, "first", json_digits(j->first));
    json_put(b, run, "count", size(j->count));
    json_put(b, run, "dtype", json_string(j->dtype == DFL_FLOAT64 ? "float64" : "float32"));
    if (j->labelled) json_put(b, run, "class", json_integer(j->label));
    if (j->adaptive) {
        const double nfe = adaptive_mean_nfe(j);
        json_put(b, run, "nfe", json_real(nfe));
        json_put(b, run, "network_calls_per_sample", json_real(nfe * dfl_model_calls(j->model)));
    } else {
        const size_t nfe = dfl_plan_nfe(j->plan);
        json_put(b, run, "nfe", size(nfe));
        json_put(b, run, "network_calls_per_sample", size(nfe * (size_t)dfl_model_calls(j->model)));
    }
    json_put(b, run, "options", options);
    const arg_row *rows = j->args->command->rows;
    for (int i = 0; rows[i].name; i++) {
        const arg_value *v = &j->args->value[i];
        if (v->given) json_put(b, options, rows[i].name, v->text ? words(v->text) : json_true());
    }
}

static void put_seconds(json_builder *b, json_t *root, const job *j) {
    static const char *const names[TIMES] = {"open", "plan", "sample", "write"};
    json_t *seconds = json_object();
    json_put(b, root, "seconds", seconds);
    for (int i = 0; i < TIMES; i++) json_put(b, seconds, names[i], json_real(j->seconds[i]));
    json_put(b, seconds, "model", json_real(job_model_seconds(j)));
    json_put(b, seconds, "total", json_real(seconds_now() - j->began));
    const double s = j->seconds[TIME_SAMPLE];
    json_put(b, root, "samples_per_second", json_real(s > 0 ? (double)j->count / s : 0));
}

typedef struct {
    json_builder *b;
    json_t *list;
    const char *role;
} file_list;

static dfl_status add_file(void *user, const char *path) {
    const file_list *f = user;
    json_t *file = json_object();
    json_push(f->b, f->list, file);
    json_put(f->b, file, "role", json_string(f->role));
    json_put(f->b, file, "path", words(path));
    return put_digest(f->b, file, "sha256", path);
}

static dfl_status add_input(file_list *in, const char *path) {
    text file = {0};
    if (strcmp(in->role, "prior") != 0) return add_file(in, path);
    dfl_status status = prior_file(path, &file);
    if (status == DFL_OK) status = add_file(in, file.data);
    text_free(&file);
    return status;
}

static dfl_status put_files(json_builder *b, json_t *root, const job *j) {
    static const char *const inputs[] = {"init", "noise", "prior", "data-moments"};
    static const char *const outputs[] = {"trajectory", "save-noise"};
    file_list in = {b, json_array(), NULL}, out = {b, json_array(), "samples"};
    json_put(b, root, "inputs", in.list);
    json_put(b, root, "outputs", out.list);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        in.role = inputs[i];
        if (arg_given(j->args, in.role)) TRY(add_input(&in, arg(j->args, in.role)->text));
    }
    in.role = "plan";
    if (j->file.len) TRY(add_file(&in, j->file.data));
    TRY(sink_files(j->sink, add_file, &out));
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        out.role = outputs[i];
        if (arg_given(j->args, out.role)) TRY(add_file(&out, arg(j->args, out.role)->text));
    }
    return DFL_OK;
}

static dfl_status fill(json_builder *b, json_t *root, const job *j) {
    json_put(b, root, "format", json_string("driftless-run/1"));
    json_put(b, root, "version", json_string(dfl_version()));
    json_put(b, root, "arguments", arguments(b, j->args));
    TRY(put_model(b, root, j));
    put_plan(b, root, j);
    put_run(b, root, j);
    json_t *start = NULL;
    TRY(start_record(j, &start));
    json_put(b, root, "start", start);
    TRY(put_files(b, root, j));
    put_seconds(b, root, j);
    return DFL_OK;
}

dfl_status record_make(const job *j, char **out) {
    json_builder b = {false};
    text t = {0};
    json_t *root = json_object();
    dfl_status status = fill(&b, root, j);
    *out = NULL;
    if (status == DFL_OK) {
        json_add(&t, root, 2);
        text_add(&t, "\n");
        if (b.bad || t.failed) status = fail_memory();
    }
    if (status == DFL_OK)
        *out = t.data;
    else
        text_free(&t);
    json_decref(root);
    return status;
}

/* ---- the summary ----------------------------------------------------------------------------- */

const char *job_noun(const job *j) {
    return card_has_images(&j->model->card) ? "images" : "samples";
}

const char *job_meta(const job *j, const char *key) {
    return j->meta ? json_string_value(json_object_get(j->meta, key)) : NULL;
}

static void summary_solver(const job *j, text *out) {
    const char *solver = job_meta(j, "solver"), *grid = job_meta(j, "grid");
    const size_t steps = dfl_plan_steps(j->plan);
    const bool whole = grid && strlen(grid) <= 30;
    text line = {0};
    text_add_line(&line, solver ? solver : "(from a plan)");
    text_add(&line, ", %zu step%s", steps, steps == 1 ? "" : "s");
    /* A long list of times stands in the record; here its name does. */
    if (grid) text_add(&line, ", grid ");
    if (whole)
        text_add_line(&line, grid);
    else if (grid)
        text_add(&line, "%.*s", (int)strcspn(grid, ":\n"), grid);
    if (line.failed) out->failed = true;
    text_add(out, "solver       ");
    text_wrap(out, line.data ? line.data : "", 13, 13);
    text_free(&line);
}

dfl_status summary_make(const job *j, text *out) {
    const char *name = j->model->card.name, *noun = job_noun(j);
    const double s = j->seconds[TIME_SAMPLE];
    text_add(out, "model        ");
    text_add_line(out, name ? name : j->where);
    text_add(out, "\n");
    if (j->adaptive) {
        TRY(adaptive_summary(j, out));
    } else {
        const size_t nfe = dfl_plan_nfe(j->plan), calls = (size_t)dfl_model_calls(j->model);
        summary_solver(j, out);
        text_add(out, "evaluations  %zu per %.*s", nfe, (int)strlen(noun) - 1, noun);
        if (calls != 1) text_add(out, " (%zu network calls)", nfe * calls);
    }
    text_add(out, "\n%-11s  %zu", noun, j->count);
    if (j->first > 0) text_add(out, " from number %llu", (unsigned long long)j->first);
    text_add(out, "\ntime         %.3g s, of which the model %.3g s\n", s, job_model_seconds(j));
    const double rate = s > 0 ? (double)j->count / s : 0;
    if (s > 0) text_add(out, "rate         %.*f %s/s\n", rate < 100 ? 1 : 0, rate, noun);
    text_add(out, "output       ");
    text_add_line(out, j->output);
    text_add(out, "\n");
    return out->failed ? fail_memory() : DFL_OK;
}
