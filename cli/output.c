/* The sinks: a PNG grid, an .npz, an .npy, a folder of PNGs. A table row each. */
#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GRID_MAX = 4096 };

typedef struct {
    const char *ending; /* of the path */
    bool images_only;
    dfl_status (*open)(sink *s);
    dfl_status (*add)(sink *s, const void *samples, size_t n);
    dfl_status (*commit)(sink *s);
    void (*discard)(sink *s);
} format;

struct sink {
    const format *format;
    output_wish wish;
    size_t dim, row; /* numbers of a sample, bytes of a stored sample */
    size_t channels, height, width;
    size_t added;
    bool committed;
    unsigned char *memory; /* kept samples, or scratch for one picture */
    npy_writer *npy;
    char *folder, *temporary; /* of a folder of PNGs, without the last "/" */
};

bool card_has_images(const card *c) {
    return c->rank == 3 && (c->shape[0] == 1 || c->shape[0] == 3);
}

/* ---- shared pieces --------------------------------------------------------------------------- */

static const char *sample_at(const sink *s, const void *samples, size_t i) {
    return (const char *)samples + i * s->dim * array_type_size(s->wish.type);
}

static void to_bytes(const sink *s, const void *samples, size_t n, uint8_t *dst) {
    image_bytes(s->wish.type, samples, n, s->channels, s->height, s->width, s->wish.card->range[0],
                s->wish.card->range[1], dst);
}

static dfl_status keep_all(sink *s) {
    s->memory = mem_array(s->wish.count, s->row);
    return s->memory ? DFL_OK : fail_memory();
}

static dfl_status keep_bytes(sink *s) {
    s->row = s->dim;
    return keep_all(s);
}

static dfl_status add_bytes(sink *s, const void *samples, size_t n) {
    to_bytes(s, samples, n, s->memory + s->added * s->row);
    return DFL_OK;
}

static void no_discard(sink *s) {
    (void)s;
}

/* ---- a grid in one picture ------------------------------------------------------------------- */

static dfl_status grid_open(sink *s) {
    if (s->wish.count > GRID_MAX)
        return fail(DFL_E_ARG,
                    "a grid holds at most %d pictures, not %zu; give a folder (PATH/) or an .npz "
                    "as the output",
                    GRID_MAX, s->wish.count);
    return keep_bytes(s);
}

static dfl_status grid_commit(sink *s) {
    size_t columns = s->wish.columns, gh = 0, gw = 0;
    uint8_t *grid = NULL;
    if (columns == 0) columns = (size_t)ceil(sqrt((double)s->wish.count));
    if (columns > s->wish.count) columns = s->wish.count;
    const int channels = (int)s->channels;
    TRY(image_grid(s->memory, s->wish.count, s->height, s->width, channels, columns, &grid, &gh,
                   &gw));
    const dfl_status status = png_write(s->wish.path, gh, gw, channels, grid, s->wish.keys,
                                        s->wish.values, s->wish.ntext);
    free(grid);
    return status;
}

/* ---- .npz: arr_0, and arr_1 with the labels where there are classes -------------------------- */

static bool npz_bytes(const sink *s) {
    return card_has_images(s->wish.card) && !s->wish.as_float;
}

static dfl_status npz_open(sink *s) {
    return npz_bytes(s) ? keep_bytes(s) : keep_all(s);
}

static dfl_status npz_add(sink *s, const void *samples, size_t n) {
    if (npz_bytes(s)) return add_bytes(s, samples, n);
    memcpy(s->memory + s->added * s->row, samples, n * s->row);
    return DFL_OK;
}

static void sample_shape(const sink *s, array *a) {
    const card *c = s->wish.card;
    a->type = s->wish.type;
    a->rank = 1 + c->rank;
    a->shape[0] = s->wish.count;
    for (int i = 0; i < c->rank; i++) a->shape[i + 1] = c->shape[i];
}

static int64_t *make_labels(const sink *s) {
    int64_t *labels = mem_array(s->wish.count, sizeof *labels);
    const uint64_t classes = (uint64_t)s->wish.card->classes;
    for (size_t i = 0; labels && i < s->wish.count; i++)
        labels[i] = s->wish.label ? *s->wish.label : (int64_t)((s->wish.first + i) % classes);
    return labels;
}

static dfl_status npz_commit(sink *s) {
    named_array arrays[2] = {{.name = "arr_0"}, {.name = "arr_1"}};
    array *a = &arrays[0].value, *b = &arrays[1].value;
    sample_shape(s, a);
    if (npz_bytes(s)) {
        *a = (array){.type = ARRAY_U8,
                     .rank = 4,
                     .shape = {s->wish.count, s->height, s->width, s->channels}};
    }
    a->data = s->memory;
    const bool labelled = s->wish.card->classes > 0;
    if (labelled) {
        *b = (array){ARRAY_I64, 1, {s->wish.count}, make_labels(s)};
        if (!b->data) return fail_memory();
    }
    const dfl_status status = npz_write(s->wish.path, arrays, labelled ? 2 : 1);
    free(b->data);
    return status;
}

/* ---- .npy: written as the samples come ------------------------------------------------------- */

static dfl_status npy_open(sink *s) {
    array a = {0};
    sample_shape(s, &a);
    return npy_create(s->wish.path, a.type, a.rank, a.shape, &s->npy);
}

static dfl_status npy_add(sink *s, const void *samples, size_t n) {
    return npy_append(s->npy, samples, n);
}

static dfl_status npy_finish(sink *s) {
    npy_writer *const w = s->npy;
    s->npy = NULL;
    return npy_commit(w);
}

static void npy_drop(sink *s) {
    npy_discard(s->npy);
}

/* ---- a folder of pictures -------------------------------------------------------------------- */

static dfl_status picture_path(const char *folder, uint64_t index, char **out) {
    text t = {0};
    text_add(&t, "%s/%06llu.png", folder, (unsigned long long)index);
    if (t.failed) {
        text_free(&t);
        return fail_memory();
    }
    *out = t.data;
    return DFL_OK;
}

static char *without_slashes(const char *path) {
    char *copy = text_copy(path);
    for (size_t n = copy ? strlen(copy) : 0; n > 1 && copy[n - 1] == '/'; n--) copy[n - 1] = 0;
    return copy;
}

/* The pictures gather in a folder beside the target, which takes its name when all are there. */
static dfl_status folder_open(sink *s) {
    text t = {0};
    s->memory = mem_array(s->dim, 1);
    if (!s->memory) return fail_memory();
    s->folder = without_slashes(s->wish.path);
    if (!s->folder) return fail_memory();
    text_add(&t, "%s.partial-%ld", s->folder, (long)getpid());
    if (t.failed) {
        text_free(&t);
        return fail_memory();
    }
    if (mkdir(t.data, 0777) != 0) {
        const dfl_status status = fail(DFL_E_IO, "%s: %s", t.data, strerror(errno));
        text_free(&t);
        return status;
    }
    s->temporary = t.data;
    return DFL_OK;
}

static dfl_status folder_add(sink *s, const void *samples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *path = NULL;
        TRY(picture_path(s->temporary, s->wish.first + s->added + i, &path));
        to_bytes(s, sample_at(s, samples, i), 1, s->memory);
        const dfl_status status = png_write(path, s->height, s->width, (int)s->channels, s->memory,
                                            s->wish.keys, s->wish.values, s->wish.ntext);
        free(path);
        TRY(status);
    }
    return DFL_OK;
}

static dfl_status folder_commit(sink *s) {
    if (rename(s->temporary, s->folder) != 0)
        return fail(DFL_E_IO, "%s: %s", s->wish.path,
                    errno == ENOTEMPTY || errno == EEXIST ? "the folder exists and is not empty"
                                                          : strerror(errno));
    return DFL_OK;
}

static void folder_discard(sink *s) {
    if (!s->temporary || s->committed) return;
    for (size_t i = 0; i < s->wish.count; i++) {
        char *path = NULL;
        if (picture_path(s->temporary, s->wish.first + i, &path) != DFL_OK) break;
        const bool gone = unlink(path) != 0;
        free(path);
        if (gone) break;
    }
    rmdir(s->temporary);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const format formats[] = {
    {".png", true, grid_open, add_bytes, grid_commit, no_discard},
    {".npz", false, npz_open, npz_add, npz_commit, no_discard},
    {".npy", false, npy_open, npy_add, npy_finish, npy_drop},
    {"/", true, folder_open, folder_add, folder_commit, folder_discard},
};

static const format *find_format(const char *path) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (text_ends_in(path, formats[i].ending)) return &formats[i];
    return NULL;
}

static dfl_status check_parent(const char *path) {
    char *folder = without_slashes(path);
    if (!folder) return fail_memory();
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    const char *name = slash ? folder : ".";
    struct stat info;
    dfl_status status = DFL_OK;
    if (stat(name, &info) != 0)
        status = fail(DFL_E_IO, "%s: its folder %s does not exist", path, name);
    else if (!S_ISDIR(info.st_mode))
        status = fail(DFL_E_IO, "%s: %s is not a folder", path, name);
    else if (access(name, W_OK | X_OK) != 0)
        status = fail(DFL_E_IO, "%s: its folder %s cannot be written", path, name);
    free(folder);
    return status;
}

dfl_status output_check_folder(const char *path) {
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return fail(DFL_E_IO, "%s: is a folder, not a file", path);
    return check_parent(path);
}

dfl_status output_check_named(const char *path, const char *ending) {
    struct stat info;
    const bool device = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
    if (!device && !text_ends_in(path, ending))
        return fail(DFL_E_ARG, "%s: the output's name must end in %s", path, ending);
    return output_check_folder(path);
}

static dfl_status check_empty(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return fail(DFL_E_IO, "%s: %s", path, strerror(errno));
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(folder));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(folder);
    return empty ? DFL_OK : fail(DFL_E_IO, "%s: the folder exists and is not empty", path);
}

dfl_status output_check(const char *path) {
    const format *f = find_format(path);
    if (!f)
        return fail(DFL_E_ARG,
                    "%s: an output ends in .png, .npz, .npy, or in / for a folder of pictures",
                    path);
    if (f->open != folder_open) return output_check_folder(path);
    struct stat info;
    char *bare = without_slashes(path);
    if (!bare) return fail_memory();
    const bool exists = stat(bare, &info) == 0;
    free(bare);
    if (exists && !S_ISDIR(info.st_mode))
        return fail(DFL_E_IO, "%s: is a file, not a folder", path);
    if (exists) TRY(check_empty(path));
    return check_parent(path);
}

/* ---- the files of a call --------------------------------------------------------------------- */

/* The folder of a path and the name in it. */
static const char *split_path(const char *path, text *folder) {
    const char *const slash = strrchr(path, '/');
    if (!slash) text_add(folder, ".");
    if (slash) text_add(folder, "%.*s/", (int)(slash - path), path);
    return slash ? slash + 1 : path;
}

static bool same_node(const char *a, const char *b, bool *there) {
    struct stat x, y;
    const bool one = stat(a, &x) == 0, other = stat(b, &y) == 0;
    *there = one || other;
    return one && other && x.st_dev == y.st_dev && x.st_ino == y.st_ino &&
           (S_ISREG(x.st_mode) || S_ISDIR(x.st_mode));
}

static bool same_file(const char *a, const char *b) {
    text folder[2] = {{0}, {0}};
    bool there, same = same_node(a, b, &there);
    if (there) return same;
    const char *const one = split_path(a, &folder[0]), *const other = split_path(b, &folder[1]);
    same = !folder[0].failed && !folder[1].failed && strcmp(one, other) == 0 &&
           same_node(folder[0].data, folder[1].data, &there);
    for (int i = 0; i < 2; i++) text_free(&folder[i]);
    return same;
}

/* The file that a model is, or what stands behind a word like "mixture:". */
static const char *operand_path(const char *operand) {
    static const char *const words[] = {"model:", "mixture:"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(operand, words[i], strlen(words[i])) == 0) operand += strlen(words[i]);
    return operand;
}

static dfl_status check_apart(const args *a, const arg_value *output) {
    const char *const name = output->row->name, *const path = output->text;
    for (const arg_value *v = a->value; v->row; v++) {
        const bool writes = v->row->kind == ARG_OUTPUT && v < output;
        if (!v->given || !(writes || v->row->kind == ARG_FILE) || !same_file(v->text, path))
            continue;
        if (writes) return fail(DFL_E_ARG, "--%s: %s is already another output", name, path);
        return fail(DFL_E_ARG, "--%s: %s is what --%s names to be read", name, path, v->row->name);
    }
    /* what is merged may grow in place: it is read before it is written */
    const bool merged = a->noperands > 0 && strcmp(a->operand[0], "merge") == 0;
    for (int i = 0; i < a->noperands && !merged; i++)
        if (same_file(operand_path(a->operand[i]), path))
            return fail(DFL_E_ARG, "--%s: %s is to be read", name, path);
    return DFL_OK;
}

dfl_status output_check_apart(const args *a) {
    for (const arg_value *v = a->value; v->row; v++)
        if (v->given && v->row->kind == ARG_OUTPUT && strcmp(v->text, "-") != 0)
            TRY(check_apart(a, v));
    return DFL_OK;
}

/* ---- the interface --------------------------------------------------------------------------- */

dfl_status sink_open(const output_wish *wish, sink **out) {
    const format *f = find_format(wish->path);
    const card *c = wish->card;
    *out = NULL;
    if (!f) return fail(DFL_E_ARG, "%s: unknown kind of output", wish->path);
    if (f->images_only && !card_has_images(c))
        return fail(DFL_E_ARG,
                    "%s: the samples of this model are not pictures; give an .npz or .npy as the "
                    "output",
                    wish->path);
    sink *s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    s->format = f;
    s->wish = *wish;
    s->dim = card_dim(c);
    s->row = mem_product(s->dim, array_type_size(wish->type), 1);
    if (card_has_images(c)) {
        s->channels = c->shape[0];
        s->height = c->shape[1];
        s->width = c->shape[2];
    }
    const dfl_status status = f->open(s);
    if (status != DFL_OK)
        sink_free(s);
    else
        *out = s;
    return status;
}

dfl_status sink_add(sink *s, const void *samples, size_t n) {
    TRY(s->format->add(s, samples, n));
    s->added += n;
    return DFL_OK;
}

dfl_status sink_commit(sink *s) {
    TRY(s->format->commit(s));
    s->committed = true;
    return DFL_OK;
}

void sink_free(sink *s) {
    if (!s) return;
    s->format->discard(s);
    free(s->memory);
    free(s->folder);
    free(s->temporary);
    free(s);
}

dfl_status sink_files(const sink *s, dfl_status (*tell)(void *user, const char *path), void *user) {
    if (!s->folder) return tell(user, s->wish.path);
    for (size_t i = 0; i < s->wish.count; i++) {
        char *path = NULL;
        TRY(picture_path(s->folder, s->wish.first + i, &path));
        const dfl_status status = tell(user, path);
        free(path);
        TRY(status);
    }
    return DFL_OK;
}
