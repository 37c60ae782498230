/* Pictures from files: folders of PNG, arrays, idx. */
#include "eval/pictures.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/io.h"

enum { FILES_MAX = 10000000 };

dfl_status pictures_read(picture_source *s, size_t from, size_t n, picture_set *out) {
    *out = (picture_set){.first = s->first + from};
    if (from >= s->count || n == 0)
        return fail(DFL_E_RANGE, "picture %zu: there are %zu", from, s->count);
    if (n > s->count - from) n = s->count - from;
    return s->read(s, from, n, out);
}

void pictures_free(picture_source *s) {
    if (!s) return;
    s->free(s);
    text_free(&s->what);
    free(s);
}

/* The part that is asked for, of `there` pictures. */
static dfl_status take_part(picture_source *s, const picture_wish *w, size_t there) {
    s->first = w->first;
    s->count = w->count ? w->count : there;
    if (there == 0) return fail(DFL_E_FORMAT, "'%s' holds no pictures", w->path);
    if (s->count <= there) return DFL_OK;
    return fail(DFL_E_RANGE, "'%s' holds %zu pictures; %zu are asked for", w->path, there,
                s->count);
}

static dfl_status name_source(picture_source *s, const char *kind, const char *path) {
    text_add(&s->what, "pictures of %s %s", kind, path);
    if (s->what.failed) return fail_memory();
    text_tame(s->what.data); /* it goes into JSON, which must be UTF-8 */
    return DFL_OK;
}

/* ---- a folder of PNG files ------------------------------------------------------------------- */

typedef struct {
    picture_source base;
    char *path;
    char **name;
    size_t n, cap;
    bitmap ahead; /* of another size than the set before it, or nothing */
    size_t ahead_at;
    uint8_t *pixels;
    size_t room;
} folder_source;

static bool is_png(const char *name) {
    const size_t n = strlen(name);
    return n > 4 && name[0] != '.' && strcasecmp(name + n - 4, ".png") == 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static dfl_status add_name(folder_source *s, const char *name) {
    void *names = s->name;
    if (s->n == FILES_MAX)
        return fail(DFL_E_RANGE, "'%s' holds more than %d files", s->path, FILES_MAX);
    if (!mem_grow(&names, &s->cap, s->n + 1, sizeof *s->name)) return fail_memory();
    s->name = names;
    s->name[s->n] = text_copy(name);
    return s->name[s->n++] ? DFL_OK : fail_memory();
}

static dfl_status list_names(folder_source *s) {
    dfl_status status = DFL_OK;
    DIR *const folder = opendir(s->path);
    if (!folder) return fail(DFL_E_IO, "cannot open '%s': %s", s->path, strerror(errno));
    for (const struct dirent *e; status == DFL_OK && (e = readdir(folder));)
        if (is_png(e->d_name)) status = add_name(s, e->d_name);
    closedir(folder);
    if (status == DFL_OK && s->n > 0) qsort(s->name, s->n, sizeof *s->name, by_name);
    return status;
}

static dfl_status open_picture(const folder_source *s, size_t i, bitmap *out) {
    text path = {0};
    text_add(&path, "%s/%s", s->path, s->name[i]);
    const dfl_status status = path.failed ? fail_memory() : png_read(path.data, out);
    text_free(&path);
    return status;
}

/* Digest of the one before, name and content, file after file; of all files, since a run that goes on
   may ask for more of them. */
static dfl_status digest_folder(folder_source *s) {
    char *const hex = s->base.digest, file[DIGEST_HEX];
    dfl_status status = DFL_OK;
    for (size_t i = 0; i < s->n && status == DFL_OK; i++) {
        text t = {0};
        text_add(&t, "%s/%s", s->path, s->name[i]);
        status = t.failed ? fail_memory() : digest_file(t.data, file);
        text_free(&t);
        if (status != DFL_OK) break;
        text_add(&t, "%s %s %s", hex, s->name[i], file);
        if (!t.failed) digest_bytes(t.data, t.len, hex);
        status = t.failed ? fail_memory() : DFL_OK;
        text_free(&t);
    }
    return status;
}

static dfl_status next_picture(folder_source *s, size_t i, bitmap *out) {
    if (s->ahead.pixels && s->ahead_at == i) {
        *out = s->ahead;
        s->ahead = (bitmap){0};
        return DFL_OK;
    }
    return open_picture(s, i, out);
}

/* Joins picture i to the set, or keeps it for the next one: *joined tells. */
static dfl_status join(folder_source *s, size_t i, picture_set *out, bool *joined) {
    bitmap b;
    TRY(next_picture(s, i, &b));
    const size_t size = b.height * b.width * (size_t)b.channels;
    *joined = out->n == 0 || (out->height == b.height && out->width == b.width &&
                              out->channels == (size_t)b.channels);
    if (!*joined) {
        bitmap_free(&s->ahead);
        s->ahead = b;
        s->ahead_at = i;
        return DFL_OK;
    }
    void *pixels = s->pixels;
    const bool room = mem_grow(&pixels, &s->room, mem_product(out->n + 1, size, 1), 1);
    s->pixels = pixels;
    if (room) memcpy(s->pixels + out->n * size, b.pixels, size);
    *out = (picture_set){out->first, out->n + 1, b.height, b.width, (size_t)b.channels, s->pixels};
    bitmap_free(&b);
    return room ? DFL_OK : fail_memory();
}

static dfl_status folder_read(picture_source *self, size_t from, size_t n, picture_set *out) {
    folder_source *const s = (folder_source *)self;
    bool joined = true;
    for (size_t i = 0; i < n && joined; i++) TRY(join(s, from + i, out, &joined));
    return DFL_OK;
}

static void folder_free(picture_source *self) {
    folder_source *const s = (folder_source *)self;
    for (size_t i = 0; i < s->n; i++) free(s->name[i]);
    bitmap_free(&s->ahead);
    free(s->name);
    free(s->path);
    free(s->pixels);
}

static dfl_status open_folder(const picture_wish *w, picture_source **out) {
    folder_source *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    *out = &s->base;
    s->base.read = folder_read;
    s->base.free = folder_free;
    s->path = text_copy(w->path);
    if (!s->path) return fail_memory();
    TRY(list_names(s));
    if (s->n == 0) return fail(DFL_E_FORMAT, "folder '%s' holds no .png files", w->path);
    TRY(take_part(&s->base, w, s->n));
    TRY(digest_folder(s));
    return name_source(&s->base, "folder", w->path);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

typedef struct {
    picture_source base;
    char *path;
    picture_layout layout;
    double range[2];
    npy_rows *file; /* .npy; else: */
    array whole;
    void *raw; /* of a file: numbers as they stand there */
    uint8_t *pixels;
    size_t raw_room, room;
} array_source;

static bool has_channels(size_t c) {
    return c == 1 || c == 3;
}

static dfl_status find_layout(const char *path, const array *a, picture_layout *out) {
    const size_t *const d = a->shape;
    const bool first = a->rank == 4 && has_channels(d[1]),
               last = a->rank == 4 && has_channels(d[3]);
    *out = (picture_layout){.type = (int)a->type, .n = d[0], .channels = 1};
    if (a->type == ARRAY_I64)
        return fail(DFL_E_FORMAT,
                    "'%s' holds whole numbers of 64 bits; pictures are bytes or "
                    "floating-point numbers",
                    path);
    out->channels_first = first && (!last || a->type != ARRAY_U8);
    if (a->rank == 3) {
        out->height = d[1];
        out->width = d[2];
    } else if (first || last) {
        const int at = out->channels_first ? 2 : 1;
        out->channels = d[out->channels_first ? 1 : 3];
        out->height = d[at];
        out->width = d[at + 1];
    }
    const bool good = out->height >= 1 && out->height <= PICTURE_SIDE_MAX && out->width >= 1 &&
                      out->width <= PICTURE_SIDE_MAX;
    if (good) return DFL_OK;
    return fail(DFL_E_FORMAT,
                "'%s' does not hold pictures: [n][H][W][C], [n][C][H][W] or [n][H][W] with 1 or 3 "
                "channels and 1 to %d pixels a side are needed",
                path, PICTURE_SIDE_MAX);
}

/* [n][C][H][W] to [n][H][W][C]. */
static void turn(const picture_layout *l, const uint8_t *from, size_t n, uint8_t *to) {
    const size_t area = l->height * l->width, channels = l->channels;
    for (size_t p = 0; p < n * channels; p++)
        for (size_t i = 0; i < area; i++)
            to[(p / channels * area + i) * channels + p % channels] = from[p * area + i];
}

static dfl_status check_numbers(const array_source *s, const void *raw, size_t numbers) {
    for (size_t i = 0; i < numbers; i++) {
        const double x = s->layout.type == ARRAY_F32 ? (double)((const float *)raw)[i]
                                                     : ((const double *)raw)[i];
        if (!isfinite(x))
            return fail(DFL_E_NONFINITE, "'%s' holds a value that is no finite number", s->path);
    }
    return DFL_OK;
}

/* Numbers to bytes; as channels-last ones they are planes of one channel. */
static dfl_status to_bytes(const array_source *s, const void *raw, size_t n) {
    const picture_layout *const l = &s->layout;
    const size_t numbers = n * l->height * l->width * l->channels;
    const array_type type = (array_type)l->type;
    if (type == ARRAY_U8) {
        if (l->channels_first)
            turn(l, raw, n, s->pixels);
        else
            memcpy(s->pixels, raw, numbers);
        return DFL_OK;
    }
    TRY(check_numbers(s, raw, numbers));
    if (l->channels_first)
        image_bytes(type, raw, n, l->channels, l->height, l->width, s->range[0], s->range[1],
                    s->pixels);
    else
        image_bytes(type, raw, n, 1, l->height, l->width * l->channels, s->range[0], s->range[1],
                    s->pixels);
    return DFL_OK;
}

static dfl_status array_read(picture_source *self, size_t from, size_t n, picture_set *out) {
    array_source *const s = (array_source *)self;
    const picture_layout *const l = &s->layout;
    const size_t numbers = mem_product(l->height, l->width, l->channels);
    const size_t bytes = mem_product(numbers, array_type_size((array_type)l->type), 1);
    void *pixels = s->pixels;
    if (!mem_grow(&pixels, &s->room, mem_product(n, numbers, 1), 1)) return fail_memory();
    s->pixels = pixels;
    const void *raw = s->whole.data ? (const char *)s->whole.data + from * bytes : NULL;
    if (s->file) {
        if (!mem_grow(&s->raw, &s->raw_room, mem_product(n, bytes, 1), 1)) return fail_memory();
        TRY(npy_rows_read(s->file, from, n, s->raw));
        raw = s->raw;
    }
    TRY(to_bytes(s, raw, n));
    *out = (picture_set){out->first, n, l->height, l->width, l->channels, s->pixels};
    return DFL_OK;
}

static void array_source_free(picture_source *self) {
    array_source *const s = (array_source *)self;
    npy_rows_close(s->file);
    array_free(&s->whole);
    free(s->path);
    free(s->raw);
    free(s->pixels);
}

/* The same numbers are other pictures in another range. */
static dfl_status digest_array(array_source *s) {
    char *const hex = s->base.digest;
    text t = {0};
    TRY(digest_file(s->path, hex));
    if (s->layout.type == ARRAY_U8) return DFL_OK;
    text_add(&t, "%s range ", hex);
    text_real(&t, s->range[0]);
    text_add(&t, " ");
    text_real(&t, s->range[1]);
    if (!t.failed) digest_bytes(t.data, t.len, hex);
    const dfl_status status = t.failed ? fail_memory() : DFL_OK;
    text_free(&t);
    return status;
}

static dfl_status open_array(const picture_wish *w, bool archive, picture_source **out) {
    static const char *const names[] = {"arr_0"};
    enum { WHOLE_MAX = 1 << 30 };
    array_source *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    *out = &s->base;
    s->base.read = array_read;
    s->base.free = array_source_free;
    memcpy(s->range, w->range, sizeof s->range);
    if (!(s->path = text_copy(w->path))) return fail_memory();
    if (archive)
        TRY(npz_read(w->path, names, 1, false, (size_t)WHOLE_MAX * 16, &s->whole));
    else
        TRY(npy_rows_open(w->path, &s->file));
    TRY(find_layout(w->path, s->file ? npy_rows_shape(s->file) : &s->whole, &s->layout));
    TRY(take_part(&s->base, w, s->layout.n));
    TRY(digest_array(s));
    return name_source(&s->base, "file", w->path);
}

/* ---- idx ------------------------------------------------------------------------------------- */

typedef struct {
    picture_source base;
    idx_reader *file;
    uint8_t *pixels;
    size_t room;
} idx_source;

static dfl_status idx_source_read(picture_source *self, size_t from, size_t n, picture_set *out) {
    idx_source *const s = (idx_source *)self;
    const idx_shape shape = idx_size(s->file);
    void *pixels = s->pixels;
    if (!mem_grow(&pixels, &s->room, mem_product(n, shape.height, shape.width), 1))
        return fail_memory();
    s->pixels = pixels;
    TRY(idx_read(s->file, from, n, s->pixels));
    *out = (picture_set){out->first, n, shape.height, shape.width, 1, s->pixels};
    return DFL_OK;
}

static void idx_source_free(picture_source *self) {
    idx_source *const s = (idx_source *)self;
    idx_close(s->file);
    free(s->pixels);
}

static dfl_status open_idx(const picture_wish *w, picture_source **out) {
    idx_source *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    *out = &s->base;
    s->base.read = idx_source_read;
    s->base.free = idx_source_free;
    TRY(idx_open(w->path, &s->file));
    TRY(take_part(&s->base, w, idx_size(s->file).count));
    TRY(digest_file(w->path, s->base.digest));
    return name_source(&s->base, "file", w->path);
}

/* ---- which of them --------------------------------------------------------------------------- */

dfl_status pictures_open(const picture_wish *wish, picture_source **out) {
    struct stat info;
    dfl_status status;
    *out = NULL;
    if (stat(wish->path, &info) != 0)
        return fail(DFL_E_IO, "cannot open '%s': %s", wish->path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        status = open_folder(wish, out);
    else if (text_ends_in(wish->path, ".npz") || text_ends_in(wish->path, ".npy"))
        status = open_array(wish, text_ends_in(wish->path, ".npz"), out);
    else if (text_ends_in(wish->path, ".gz") || text_ends_in(wish->path, "-ubyte"))
        status = open_idx(wish, out);
    else
        status = fail(DFL_E_ARG,
                      "'%s' is none of what pictures are read from: a folder of .png files, .npz, "
                      ".npy, idx3-ubyte or its .gz",
                      wish->path);
    if (status == DFL_OK) return DFL_OK;
    pictures_free(*out);
    *out = NULL;
    return status;
}
