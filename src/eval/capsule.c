/* Capsules: a JSON file beside every number, with all that a stranger needs to draw it again:
   the plan itself, seed and labels, digests of model, features and reference, and what it was made on.
   They are also what a sweep goes on from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "eval/sweep.h"
#include "plan/plan.h"

enum { CAPSULE_MAX = 64 << 20, CPUINFO_MAX = 1 << 24, WORDS_MAX = 64 };
static const char format[] = "driftless-capsule/1";

/* ---- writing --------------------------------------------------------------------------------- */

/* Paths and arguments are bytes; those that are not UTF-8 lose what JSON cannot hold. */
static json_t *words(const char *s) {
    char *copy = text_copy(s ? s : "");
    if (copy) text_tame(copy);
    json_t *value = copy ? json_string(copy) : NULL;
    free(copy);
    return value;
}

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

const char *cpu_name(char *buf, size_t cap) {
    char *data = NULL;
    size_t size = 0, n = 0;
    const char *at = NULL;
    buf[0] = 0;
    if (file_read("/proc/cpuinfo", CPUINFO_MAX, &data, &size) == DFL_OK)
        at = strstr(data, "model name");
    if (at) at = strchr(at, ':');
    for (at = at ? at + 1 + strspn(at + 1, " \t") : ""; at[n] && at[n] != '\n' && n + 1 < cap; n++)
        buf[n] = at[n];
    buf[n] = 0;
    free(data);
    text_tame(buf);
    return *buf ? buf : "unknown";
}

static dfl_status put_plan(json_builder *b, json_t *root, const dfl_plan *plan) {
    char hex[DIGEST_HEX];
    text printed = {0};
    if (!plan) {
        json_put(b, root, "plan", json_null());
        json_put(b, root, "plan_sha256", json_string(""));
        return DFL_OK;
    }
    plan_write(plan, &printed);
    if (printed.failed) {
        text_free(&printed);
        return fail_memory();
    }
    digest_bytes(printed.data, printed.len, hex);
    json_put(b, root, "plan_sha256", json_string(hex));
    json_put(b, root, "plan", json_loads(printed.data, JSON_REJECT_DUPLICATES, NULL));
    text_free(&printed);
    return DFL_OK;
}

static void put_model(json_builder *b, json_t *root, const sweep *s) {
    json_t *model = json_object();
    text printed = {0};
    json_put(b, root, "model", model);
    json_put(b, model, "where", words(s->model_where));
    json_put(b, model, "digest", json_string(s->frame.model));
    json_put(b, model, "card_sha256", json_string(s->frame.card));
    json_put(b, model, "guidance", s->model->guided ? json_real(s->model->guidance) : json_null());
    json_put(b, model, "classifier_guidance",
             s->model->classifier_guidance != 0 ? json_real(s->model->classifier_guidance)
                                                : json_null());
    text_add(&printed, "{");
    if (s->model->describe) s->model->describe(s->model, &printed);
    text_add(&printed, "}");
    json_put(b, model, "runtime",
             printed.failed ? NULL : json_loads(printed.data, JSON_REJECT_DUPLICATES, NULL));
    text_free(&printed);
}

static void put_measure(json_builder *b, json_t *root, const sweep *s) {
    json_t *seen_by = json_object(), *reference = json_object();
    json_put(b, root, "features", seen_by);
    json_put(b, seen_by, "where", words(s->extractor_where));
    json_put(b, seen_by, "name", words(extractor_name(s->extractor)));
    json_put(b, seen_by, "digest", json_string(s->frame.extractor));
    json_put(b, seen_by, "width", json_integer((json_int_t)s->real.d));
    json_put(b, root, "reference", reference);
    json_put(b, reference, "where", words(s->reference_where));
    json_put(b, reference, "digest", json_string(s->frame.reference));
    json_put(b, reference, "count", json_integer((json_int_t)s->frame.reference_count));
}

static void put_result(json_builder *b, json_t *root, const sweep_result *r) {
    json_t *result = json_object();
    json_put(b, root, "result", result);
    json_put(b, result, "fid", number(r->fid));
    json_put(b, result, "kid", number(r->kid));
    json_put(b, result, "kid_error", number(r->kid_error));
    json_put(b, result, "spent_nfe", json_integer((json_int_t)r->spent));
    json_put(b, result, "network_calls", json_integer((json_int_t)r->calls));
    json_put(b, result, "seconds", number(r->seconds));
    json_put(b, result, "model_seconds", number(r->model_seconds));
    json_put(b, result, "features_sha256", json_string(r->features));
    json_put(b, result, "note", words(r->note));
}

static void put_cell(json_builder *b, json_t *root, const sweep *s, const sweep_cell *c) {
    const sweep_point *p = &s->point[c->point];
    const sweep_way *w = &s->way[p->way];
    json_t *argv = w->argv ? json_array() : json_null();
    json_put(b, root, "label", words(w->label));
    json_put(b, root, "solver", w->solver ? words(w->solver) : json_null());
    json_put(b, root, "grid", w->grid ? words(w->grid) : json_null());
    for (size_t i = 0; w->argv && w->argv[i]; i++)
        if (json_array_append_new(argv, words(w->argv[i])) != 0) b->bad = true;
    json_put(b, root, "peer", argv);
    json_put(b, root, "nfe", json_integer(p->nfe));
    json_put(b, root, "seed", json_digits(c->seed));
    json_put(b, root, "samples", json_integer((json_int_t)s->frame.samples));
    json_put(b, root, "class", s->frame.labelled ? json_integer(s->frame.label) : json_null());
    json_put(b, root, "settings", words(s->frame.tail));
}

dfl_status capsule_write(const sweep *s, const sweep_cell *c) {
    json_builder b = {false};
    char cpu[160];
    text path = {0}, out = {0};
    json_t *root = json_object();
    dfl_status status = sweep_path(s, "capsules", c->name, ".json", &path);
    json_put(&b, root, "format", json_string(format));
    json_put(&b, root, "version", json_string(dfl_version()));
    json_put(&b, root, "cpu", words(cpu_name(cpu, sizeof cpu)));
    json_put(&b, root, "cell", json_string(c->name));
    if (path.data)
        json_put(&b, root, "command", json_sprintf("driftless sweep --rerun %s", path.data));
    json_put(&b, root, "sweep", words(s->command));
    put_cell(&b, root, s, c);
    if (status == DFL_OK) put_model(&b, root, s);
    put_measure(&b, root, s);
    put_result(&b, root, &c->result);
    if (status == DFL_OK) status = put_plan(&b, root, s->point[c->point].plan);
    json_add(&out, root, 1);
    text_add(&out, "\n");
    if (status == DFL_OK && (b.bad || out.failed)) status = fail_memory();
    if (status == DFL_OK) status = file_save(path.data, out.data, out.len);
    json_decref(root);
    text_free(&path);
    text_free(&out);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static dfl_status get_number(const json_in *in, const char *key, double *out) {
    *out = NAN;
    return json_has_value(in, key) ? json_get_real(in, key, out) : DFL_OK;
}

static dfl_status get_digest(const json_in *in, const char *key, char hex[DIGEST_HEX]) {
    const char *given;
    TRY(json_get_text(in, key, &given));
    const size_t n = strlen(given);
    if ((n != 0 && n != DIGEST_HEX - 1) || strspn(given, "0123456789abcdef") != n)
        return fail(DFL_E_FORMAT, "%s, %s: not 64 hexadecimal digits", in->where, key);
    memcpy(hex, given, n + 1);
    return DFL_OK;
}

static dfl_status get_count(const json_in *in, const char *key, long long lo, long long hi,
                            size_t *out) {
    long long n = 0;
    TRY(json_get_int(in, key, lo, hi, &n));
    *out = (size_t)n;
    return DFL_OK;
}

static dfl_status get_result(const json_in *in, sweep_result *r) {
    const char *note;
    json_in at;
    TRY(json_get_object(in, "result", &at));
    TRY(get_number(&at, "fid", &r->fid));
    TRY(get_number(&at, "kid", &r->kid));
    TRY(get_number(&at, "kid_error", &r->kid_error));
    TRY(get_number(&at, "seconds", &r->seconds));
    TRY(get_number(&at, "model_seconds", &r->model_seconds));
    TRY(get_count(&at, "spent_nfe", 0, 1 << 30, &r->spent));
    TRY(get_count(&at, "network_calls", 0, 1 << 30, &r->calls));
    TRY(get_digest(&at, "features_sha256", r->features));
    TRY(json_get_text(&at, "note", &note));
    const size_t n = strlen(note);
    if (n >= SWEEP_NOTE || (n == 0 && !isfinite(r->fid)))
        return fail(DFL_E_FORMAT, "%s: neither a number nor a note", at.where);
    memcpy(r->note, note, n + 1);
    return DFL_OK;
}

static dfl_status get_frame(const json_in *in, sweep_frame *f) {
    json_in model, seen_by, reference;
    long long label = 0;
    *f = (sweep_frame){0};
    TRY(json_get_object(in, "model", &model));
    TRY(json_get_object(in, "features", &seen_by));
    TRY(json_get_object(in, "reference", &reference));
    TRY(get_digest(&model, "digest", f->model));
    TRY(get_digest(&model, "card_sha256", f->card));
    TRY(get_digest(&seen_by, "digest", f->extractor));
    TRY(get_digest(&reference, "digest", f->reference));
    TRY(get_count(&reference, "count", 0, 1LL << 40, &f->reference_count));
    TRY(get_count(in, "samples", 2, SWEEP_SAMPLES_MAX, &f->samples));
    f->labelled = json_has_value(in, "class");
    if (f->labelled) TRY(json_get_int(in, "class", 0, 1LL << 40, &label));
    f->label = label;
    return json_get_text(in, "settings", &f->tail);
}

static bool same_frame(const sweep_frame *a, const sweep_frame *b) {
    return strcmp(a->model, b->model) == 0 && strcmp(a->card, b->card) == 0 &&
           strcmp(a->extractor, b->extractor) == 0 && strcmp(a->reference, b->reference) == 0 &&
           a->samples == b->samples && a->labelled == b->labelled && a->label == b->label &&
           strcmp(a->tail, b->tail) == 0;
}

/* Without what a plan says of itself: a program of another version may say it otherwise. */
static json_t *without_meta(json_t *plan) {
    json_t *const rest = json_copy(plan);
    if (rest) json_object_del(rest, "meta");
    return rest;
}

/* A label may name a file, and that may have changed since. */
static dfl_status check_plan(const json_in *in, const dfl_plan *plan, const char *path) {
    text printed = {0};
    if (!plan) return DFL_OK;
    plan_write(plan, &printed);
    json_t *const whole =
        printed.failed ? NULL : json_loads(printed.data, JSON_REJECT_DUPLICATES, NULL);
    json_t *const now = without_meta(whole);
    json_t *const then = without_meta(json_object_get(in->object, "plan"));
    dfl_status status = now ? DFL_OK : fail_memory();
    if (now && !(then && json_equal(now, then)))
        status = fail(DFL_E_COMBINATION,
                      "%s was drawn by another plan than this solver has now (a file that it reads "
                      "may have changed); name another folder, or remove it",
                      path);
    json_decref(whole);
    json_decref(now);
    json_decref(then);
    text_free(&printed);
    return status;
}

dfl_status capsule_result(const sweep *s, sweep_cell *c, const char *path) {
    json_t *root = NULL;
    json_in in;
    sweep_frame frame;
    const char *name = "";
    dfl_status status = json_read(path, CAPSULE_MAX, &root, &in);
    if (status == DFL_OK) status = json_check_format(&in, format);
    if (status == DFL_OK) status = json_get_text(&in, "cell", &name);
    if (status == DFL_OK) status = get_frame(&in, &frame);
    if (status == DFL_OK) status = get_result(&in, &c->result);
    if (status == DFL_OK && (strcmp(name, c->name) != 0 || !same_frame(&frame, &s->frame)))
        status = fail(DFL_E_COMBINATION, "%s belongs to another sweep; remove it", path);
    if (status == DFL_OK && !*c->result.note)
        status = check_plan(&in, s->point[c->point].plan, path);
    c->done = status == DFL_OK;
    json_decref(root);
    return status;
}

/* ---- a stranger's rerun ---------------------------------------------------------------------- */

static dfl_status get_argv(const json_t *list, const char *where, sweep_way *way) {
    const size_t n = json_array_size(list);
    if (n == 0 || n > WORDS_MAX) return fail(DFL_E_FORMAT, "%s: peer is no command", where);
    way->argv = mem_array(n + 1, sizeof *way->argv);
    for (size_t i = 0; way->argv && i < n; i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (!word) return fail(DFL_E_FORMAT, "%s: peer is no list of texts", where);
        if (!(way->argv[i] = text_copy(word))) return fail_memory();
    }
    return way->argv ? DFL_OK : fail_memory();
}

static dfl_status get_way(const json_in *in, sweep *s) {
    sweep_way *way = &s->way[0];
    const char *label, *solver = NULL, *grid = NULL;
    const json_t *argv = NULL;
    s->nways = 1;
    way->wanted = true;
    TRY(json_get_text(in, "label", &label));
    if (!(way->label = text_copy(label))) return fail_memory();
    if (json_has_value(in, "peer")) {
        TRY(json_get_array(in, "peer", &argv));
        return get_argv(argv, in->where, way);
    }
    TRY(json_get_text(in, "solver", &solver));
    TRY(json_get_text(in, "grid", &grid));
    way->solver = text_copy(solver);
    way->grid = text_copy(grid);
    return way->solver && way->grid ? DFL_OK : fail_memory();
}

static dfl_status get_plan(const json_in *in, sweep_point *p) {
    json_in at;
    text t = {0};
    TRY(json_get_object(in, "plan", &at));
    json_add(&t, at.object, 0);
    const dfl_status status =
        t.failed ? fail_memory() : dfl_plan_from_json(t.data, t.len, &p->plan);
    text_free(&t);
    return status == DFL_OK ? DFL_OK : fail_in(DFL_E_FORMAT, "%s", in->where);
}

/* One way, one budget, one seed; the plan is the one that stands there. */
static dfl_status get_cell(const json_in *in, sweep *s) {
    long long nfe = 0;
    TRY(get_way(in, s));
    TRY(json_get_int(in, "nfe", 1, 100000, &nfe));
    TRY(json_get_u64(in, "seed", INT64_MAX, &s->seed[0]));
    s->nbudgets = s->nseeds = s->npoints = s->ncells = 1;
    s->nfe[0] = (int)nfe;
    s->nfe_wanted[0] = true;
    s->point = mem_array(1, sizeof *s->point);
    s->cell = mem_array(1, sizeof *s->cell);
    if (!s->point || !s->cell) return fail_memory();
    s->point[0] = (sweep_point){.nfe = (int)nfe, .wanted = true};
    s->cell[0] = (sweep_cell){.seed = s->seed[0], .wanted = true};
    return s->way[0].argv ? DFL_OK : get_plan(in, &s->point[0]);
}

static dfl_status get_all(const json_in *in, capsule *c, sweep *s) {
    json_in model, seen_by, reference;
    TRY(json_check_format(in, format));
    TRY(get_frame(in, &c->frame));
    TRY(get_result(in, &c->result));
    TRY(json_get_object(in, "model", &model));
    TRY(json_get_object(in, "features", &seen_by));
    TRY(json_get_object(in, "reference", &reference));
    TRY(json_get_text(&model, "where", &c->model));
    TRY(json_get_text(&seen_by, "where", &c->features));
    TRY(json_get_text(&reference, "where", &c->reference));
    TRY(json_get_text(in, "cpu", &c->cpu));
    TRY(json_get_text(in, "version", &c->version));
    TRY(get_number(&model, "guidance", &c->guidance));
    TRY(get_number(&model, "classifier_guidance", &c->classifier_guidance));
    if (*c->result.note)
        return fail(DFL_E_COMBINATION, "%s has no number to compare with: %s", in->where,
                    c->result.note);
    s->frame.samples = c->frame.samples;
    s->frame.labelled = c->frame.labelled;
    s->frame.label = c->frame.label;
    s->frame.tail = c->frame.tail;
    return get_cell(in, s);
}

dfl_status capsule_open(const char *path, capsule *out, sweep *s) {
    json_in in;
    *out = (capsule){0};
    dfl_status status = json_read(path, CAPSULE_MAX, &out->root, &in);
    if (status == DFL_OK) status = get_all(&in, out, s);
    if (status != DFL_OK) capsule_close(out);
    return status;
}

dfl_status capsule_check(const capsule *c, const sweep *s) {
    const struct {
        const char *what, *kept, *found;
    } pairs[] = {{"model", c->frame.model, s->frame.model},
                 {"model card", c->frame.card, s->frame.card},
                 {"feature extractor", c->frame.extractor, s->frame.extractor},
                 {"reference", c->frame.reference, s->frame.reference}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(pairs[i].kept, pairs[i].found) != 0)
            return fail(DFL_E_COMBINATION,
                        "the capsule was made with another %s: its digest is %.12s, here %.12s",
                        pairs[i].what, pairs[i].kept, pairs[i].found);
    return DFL_OK;
}

void capsule_close(capsule *c) {
    json_decref(c->root);
    c->root = NULL;
}
