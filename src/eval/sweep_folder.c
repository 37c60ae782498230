/* The folder of a sweep: what it belongs to, and what is finished in it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "eval/sweep.h"

enum { FILE_MAX = 4 << 20 };
static const char format[] = "driftless-sweep/1";
static const char *const kinds[] = {"capsules", "features", "samples"};

static dfl_status make_folder(const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0) return DFL_OK;
    const int code = errno;
    if (code == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return access(path, W_OK | X_OK) == 0
                   ? DFL_OK
                   : fail(DFL_E_IO, "%s: the folder cannot be written", path);
    return fail(DFL_E_IO, "%s: %s", path, strerror(code));
}

/* ---- reading --------------------------------------------------------------------------------- */

static dfl_status refuse(const char *path, const char *what) {
    return fail(DFL_E_COMBINATION,
                "%s belongs to a sweep with another %s; name another folder, or remove this one",
                path, what);
}

static dfl_status check_seeds(const char *path, const json_in *in, const sweep *s) {
    const json_t *list;
    TRY(json_get_array(in, "seeds", &list));
    bool same = json_array_size(list) == s->nseeds;
    for (size_t i = 0; same && i < s->nseeds; i++) {
        uint64_t seed = 0;
        const char *word = json_string_value(json_array_get(list, i));
        same = word && text_to_u64(word, &seed) && seed == s->seed[i];
    }
    return same ? DFL_OK : refuse(path, "list of seeds");
}

static dfl_status check_frame(const char *path, const json_in *in, const sweep *s) {
    const sweep_frame *f = &s->frame;
    const struct {
        const char *key, *found, *what;
    } pairs[] = {{"model", f->model, "model (or guidance)"},
                 {"card_sha256", f->card, "model card"},
                 {"extractor", f->extractor, "feature extractor"},
                 {"reference", f->reference, "reference"},
                 {"settings", f->tail, "process, first or last time"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *kept;
        TRY(json_get_text(in, pairs[i].key, &kept));
        if (strcmp(kept, pairs[i].found) != 0) return refuse(path, pairs[i].what);
    }
    long long samples = 0, label = -1;
    TRY(json_get_int(in, "samples", 0, 1LL << 40, &samples));
    if ((size_t)samples != f->samples) return refuse(path, "number of samples");
    if (json_has_value(in, "class")) TRY(json_get_int(in, "class", 0, 1LL << 40, &label));
    if (f->labelled != (label >= 0) || (f->labelled && label != f->label))
        return refuse(path, "class");
    return check_seeds(path, in, s);
}

static dfl_status read_argv(const json_t *list, sweep_way *way) {
    const size_t n = json_array_size(list);
    way->argv = mem_array(n + 1, sizeof *way->argv);
    for (size_t i = 0; way->argv && i < n; i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (!(way->argv[i] = text_copy(word ? word : ""))) return fail_memory();
    }
    return way->argv ? DFL_OK : fail_memory();
}

/* What was measured before comes first; what is asked for now is marked afterwards. */
static dfl_status read_way(const char *path, const json_t *object, sweep_way *way) {
    json_in in = {.object = object};
    const char *label, *solver, *grid;
    const json_t *argv;
    strncpy(in.where, path, sizeof in.where - 1);
    if (!json_is_object(object)) return fail(DFL_E_FORMAT, "%s: ways holds no objects", path);
    TRY(json_get_text(&in, "label", &label));
    if (!(way->label = text_copy(label))) return fail_memory();
    if (json_has_value(&in, "peer")) {
        TRY(json_get_array(&in, "peer", &argv));
        return read_argv(argv, way);
    }
    TRY(json_get_text(&in, "solver", &solver));
    TRY(json_get_text(&in, "grid", &grid));
    way->solver = text_copy(solver);
    way->grid = text_copy(grid);
    return way->solver && way->grid ? DFL_OK : fail_memory();
}

static dfl_status read_lists(const char *path, const json_in *in, sweep *s) {
    const json_t *ways, *budgets;
    TRY(json_get_array(in, "ways", &ways));
    TRY(json_get_array(in, "nfe", &budgets));
    for (size_t i = 0; i < json_array_size(budgets); i++) {
        const json_int_t nfe = json_integer_value(json_array_get(budgets, i));
        if (nfe < 1 || nfe > SWEEP_NFE_MAX)
            return fail(DFL_E_FORMAT, "%s: nfe holds %lld", path, (long long)nfe);
        TRY(sweep_add_budget(s, (int)nfe, false));
    }
    for (size_t i = 0; i < json_array_size(ways); i++) {
        sweep_way way = {0};
        const dfl_status status = read_way(path, json_array_get(ways, i), &way);
        if (status != DFL_OK) {
            sweep_way_free(&way);
            return status;
        }
        TRY(sweep_add_way(s, &way));
    }
    return DFL_OK;
}

dfl_status sweep_folder_open(sweep *s) {
    text path = {0};
    json_t *root = NULL;
    json_in in;
    dfl_status status = sweep_path(s, "", "sweep", ".json", &path);
    if (status == DFL_OK && access(path.data, F_OK) == 0) {
        status = json_read(path.data, FILE_MAX, &root, &in);
        if (status == DFL_OK) status = json_check_format(&in, format);
        if (status == DFL_OK) status = check_frame(path.data, &in, s);
        if (status == DFL_OK) status = read_lists(path.data, &in, s);
    }
    json_decref(root);
    text_free(&path);
    return status;
}

dfl_status sweep_folder_read(sweep *s) {
    for (size_t i = 0; i < s->ncells; i++) {
        text path = {0};
        dfl_status status = sweep_path(s, "capsules", s->cell[i].name, ".json", &path);
        if (status == DFL_OK && access(path.data, F_OK) == 0)
            status = capsule_result(s, &s->cell[i], path.data);
        text_free(&path);
        TRY(status);
    }
    return DFL_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *argv_list(char **argv) {
    json_t *list = json_array();
    for (size_t i = 0; list && argv[i]; i++)
        if (json_array_append_new(list, json_string(argv[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *way_object(const sweep_way *w) {
    if (w->argv) return json_pack("{s:s, s:o}", "label", w->label, "peer", argv_list(w->argv));
    return json_pack("{s:s, s:s, s:s}", "label", w->label, "solver", w->solver, "grid", w->grid);
}

static json_t *describe(const sweep *s) {
    const sweep_frame *f = &s->frame;
    json_t *ways = json_array(), *budgets = json_array(), *seeds = json_array();
    bool good = ways && budgets && seeds;
    for (size_t i = 0; good && i < s->nways; i++)
        good = json_array_append_new(ways, way_object(&s->way[i])) == 0;
    for (size_t i = 0; good && i < s->nbudgets; i++)
        good = json_array_append_new(budgets, json_integer(s->nfe[i])) == 0;
    for (size_t i = 0; good && i < s->nseeds; i++)
        good = json_array_append_new(seeds, json_digits(s->seed[i])) == 0;
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o}",
                             "format", format, "version", dfl_version(), "model", f->model,
                             "card_sha256", f->card, "extractor", f->extractor, "reference",
                             f->reference, "settings", f->tail, "samples", (json_int_t)f->samples,
                             "class", f->labelled ? json_integer(f->label) : json_null(), "seeds",
                             seeds, "nfe", budgets, "ways", ways);
    if (good) return root;
    json_decref(root);
    return NULL;
}

dfl_status sweep_folder_save(const sweep *s) {
    text out = {0}, path = {0};
    json_t *root = NULL;
    TRY(make_folder(s->folder));
    dfl_status status = sweep_path(s, "", "sweep", ".json", &path);
    for (size_t i = 0; status == DFL_OK && i < sizeof kinds / sizeof *kinds; i++) {
        text kind = {0};
        status = sweep_path(s, "", kinds[i], "", &kind);
        if (status == DFL_OK) status = make_folder(kind.data);
        text_free(&kind);
    }
    if (status == DFL_OK && !(root = describe(s)))
        status = fail(DFL_E_FORMAT, "a solver, grid or peer is not UTF-8");
    if (root) json_add(&out, root, 1);
    text_add(&out, "\n");
    if (status == DFL_OK && out.failed) status = fail_memory();
    if (status == DFL_OK) status = file_save(path.data, out.data, out.len);
    json_decref(root);
    text_free(&out);
    text_free(&path);
    return status;
}
