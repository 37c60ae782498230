/* NumPy's .npz: a zip archive with one .npy per array, through libzip. An archive is a stranger's:
   a member is inflated only after its size, its header and the caller's limit agree, and its
   checksum is looked at before anything is handed on. */
#include "io/io.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct {
    const char *where;
    zip_file_t *file;
    size_t total, limit;
} member;

static dfl_status fail_member(const member *m) {
    return fail(DFL_E_FORMAT, "%s: the archive is damaged: %s", m->where,
                zip_file_strerror(m->file));
}

static dfl_status member_read(const member *m, char *to, size_t size) {
    while (size > 0) {
        const zip_int64_t got = zip_fread(m->file, to, size);
        if (got < 0) return fail_member(m);
        if (got == 0) return fail(DFL_E_FORMAT, "%s: the data is cut off", m->where);
        to += got;
        size -= (size_t)got;
    }
    return DFL_OK;
}

/* libzip compares the checksum when the end is seen, so the end has to be asked for. */
static dfl_status member_end(const member *m) {
    char surplus = 0;
    const zip_int64_t got = zip_fread(m->file, &surplus, 1);
    if (got < 0) return fail_member(m);
    return got == 0 ? DFL_OK : fail(DFL_E_FORMAT, "%s: longer than the archive says", m->where);
}

static dfl_status member_array(const member *m, array *out) {
    const size_t size = m->total < NPY_HEAD_MAX ? m->total : NPY_HEAD_MAX;
    dfl_status status = DFL_OK;
    size_t head = 0;
    *out = (array){0};
    char *const start = mem_array(size, 1);
    TRY_GOTO(start ? DFL_OK : fail_memory(), done);
    TRY_GOTO(member_read(m, start, size), done);
    TRY_GOTO(npy_head(&(npy_beginning){m->where, start, size, m->total, m->limit}, out, &head),
             done);
    out->data = mem_array(m->total - head, 1);
    TRY_GOTO(out->data ? DFL_OK : fail_memory(), done);
    memcpy(out->data, start + head, size - head);
    TRY_GOTO(member_read(m, (char *)out->data + (size - head), m->total - size), done);
    status = member_end(m);
done:
    free(start);
    if (status != DFL_OK) array_free(out);
    return status;
}

/* NumPy stores or deflates, and deflating never makes less than a byte of 1032 (two bits stand for
   258 bytes): an archive that claims more is not worth the memory it asks for. */
static dfl_status check_packing(const member *m, const zip_stat_t *info) {
    enum { EXPANSION_MAX = 1032 };
    const zip_uint64_t wanted = ZIP_STAT_COMP_METHOD | ZIP_STAT_COMP_SIZE;
    const bool known = (info->valid & wanted) == wanted;
    const bool deflated = known && info->comp_method == ZIP_CM_DEFLATE;
    if (!deflated && (!known || info->comp_method != ZIP_CM_STORE))
        return fail(DFL_E_FORMAT, "%s: packed in a way that NumPy does not use", m->where);
    if (info->size / (deflated ? EXPANSION_MAX : 1) <= info->comp_size) return DFL_OK;
    return fail(DFL_E_FORMAT, "%s: %llu bytes cannot come out of the %llu that are packed",
                m->where, (unsigned long long)info->size, (unsigned long long)info->comp_size);
}

static dfl_status member_open(zip_t *archive, zip_uint64_t index, member *m) {
    zip_stat_t info;
    zip_stat_init(&info);
    const bool known = zip_stat_index(archive, index, 0, &info) == 0 && info.valid & ZIP_STAT_SIZE;
    if (!known) return fail(DFL_E_FORMAT, "%s: the archive does not tell its size", m->where);
    const size_t most = m->limit < SIZE_MAX - NPY_HEAD_MAX ? m->limit + NPY_HEAD_MAX : SIZE_MAX;
    if (info.size > most) {
        return fail(DFL_E_FORMAT, "%s: %llu bytes; at most %zu are allowed here", m->where,
                    (unsigned long long)info.size, m->limit);
    }
    TRY(check_packing(m, &info));
    m->total = (size_t)info.size;
    m->file = zip_fopen_index(archive, index, 0);
    if (!m->file) {
        return fail(DFL_E_FORMAT, "%s: cannot be unpacked: %s", m->where, zip_strerror(archive));
    }
    return DFL_OK;
}

/* Of two members with one name NumPy takes the last and libzip the first. */
static bool is_twice(zip_t *archive, const char *name, zip_int64_t index) {
    const zip_int64_t n = zip_get_num_entries(archive, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *const other = zip_get_name(archive, (zip_uint64_t)i, 0);
        if (i != index && other && strcmp(other, name) == 0) return true;
    }
    return false;
}

static dfl_status read_one(zip_t *archive, const char *path, const char *name, size_t limit,
                           array *out) {
    text full = {0}, where = {0};
    dfl_status status = DFL_OK;
    *out = (array){.rank = -1};
    text_add(&full, "%s.npy", name);
    text_add(&where, "%s: array '%s'", path, name);
    TRY_GOTO(full.failed || where.failed ? fail_memory() : DFL_OK, done);
    const zip_int64_t index = zip_name_locate(archive, full.data, 0);
    if (index >= 0 && is_twice(archive, full.data, index)) {
        status = fail(DFL_E_FORMAT, "%s: the archive holds it twice", where.data);
    } else if (index >= 0) {
        member m = {.where = where.data, .limit = limit};
        TRY_GOTO(member_open(archive, (zip_uint64_t)index, &m), done);
        status = member_array(&m, out);
        zip_fclose(m.file);
    }
done:
    text_free(&full);
    text_free(&where);
    return status;
}

static dfl_status fail_open(const char *path, int code) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const bool io = code == ZIP_ER_OPEN || code == ZIP_ER_READ || code == ZIP_ER_NOENT;
    const dfl_status status = fail(io ? DFL_E_IO : DFL_E_FORMAT, "cannot open '%s' as .npz: %s",
                                   path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return code == ZIP_ER_MEMORY ? fail_memory() : status;
}

dfl_status npz_read(const char *path, const char *const *names, int n, bool optional, size_t limit,
                    array *out) {
    dfl_status status = DFL_OK;
    int code = 0;
    for (int i = 0; i < n; i++) out[i] = (array){.rank = -1};
    zip_t *const archive = zip_open(path, ZIP_RDONLY, &code);
    if (!archive) return fail_open(path, code);
    for (int i = 0; i < n; i++) {
        TRY_GOTO(read_one(archive, path, names[i], limit, &out[i]), done);
        if (out[i].rank >= 0 || optional) continue;
        status = fail(DFL_E_FORMAT, "%s: there is no array '%s'", path, names[i]);
        goto done;
    }
done:
    zip_discard(archive);
    if (status == DFL_OK) return DFL_OK;
    for (int i = 0; i < n; i++) array_free(&out[i]);
    return status;
}

dfl_status npz_has(const char *path, const char *const *names, int n, bool *there) {
    dfl_status status = DFL_OK;
    int code = 0;
    zip_t *const archive = zip_open(path, ZIP_RDONLY, &code);
    if (!archive) return fail_open(path, code);
    for (int i = 0; i < n && status == DFL_OK; i++) {
        text full = {0};
        text_add(&full, "%s.npy", names[i]);
        if (full.failed)
            status = fail_memory();
        else
            there[i] = zip_name_locate(archive, full.data, 0) >= 0;
        text_free(&full);
    }
    zip_discard(archive);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static dfl_status fail_packing(const char *path, zip_error_t *error) {
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY) return fail_memory();
    return fail(DFL_E_IO, "cannot pack '%s': %s", path, zip_error_strerror(error));
}

/* Packs header and data without copying them together. Both must live until the archive closes. */
static dfl_status pack_one(zip_t *archive, const char *path, const named_array *a,
                           const text *head) {
    const size_t size = array_count(&a->value) * array_type_size(a->value.type);
    zip_buffer_fragment_t parts[] = {{(zip_uint8_t *)head->data, head->len}, {a->value.data, size}};
    text name = {0};
    text_add(&name, "%s.npy", a->name);
    if (name.failed) {
        text_free(&name);
        return fail_memory();
    }
    zip_source_t *const source = zip_source_buffer_fragment(archive, parts, 2, 0);
    const zip_int64_t index =
        source ? zip_file_add(archive, name.data, source, ZIP_FL_ENC_UTF_8) : -1;
    text_free(&name);
    /* the earliest date a zip can hold: the same arrays give the same file, whenever written */
    const zip_uint16_t midnight = 0, new_year_1980 = 1U << 5U | 1U;
    const bool packed =
        index >= 0 &&
        zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_DEFLATE, 0) == 0 &&
        zip_file_set_dostime(archive, (zip_uint64_t)index, midnight, new_year_1980, 0) == 0;
    if (index < 0 && source) zip_source_free(source);
    return packed ? DFL_OK : fail_packing(path, zip_get_error(archive));
}

/* Fills `image`, a memory source that the caller holds, with the finished archive. */
static dfl_status pack_all(const char *path, const named_array *arrays, int n,
                           zip_source_t *image) {
    dfl_status status = DFL_OK;
    zip_error_t error;
    zip_error_init(&error);
    zip_t *archive = NULL;
    text *const heads = mem_array((size_t)n, sizeof *heads);
    TRY_GOTO(heads ? DFL_OK : fail_memory(), done);
    archive = zip_open_from_source(image, ZIP_TRUNCATE, &error);
    TRY_GOTO(archive ? DFL_OK : fail_packing(path, &error), done);
    zip_source_keep(image); /* opening took the reference over; the caller keeps one, too */
    for (int i = 0; i < n; i++) {
        const array *const a = &arrays[i].value;
        TRY_GOTO(npy_header(a->type, a->rank, a->shape, &heads[i]), done);
        TRY_GOTO(pack_one(archive, path, &arrays[i], &heads[i]), done);
    }
    if (zip_close(archive) == 0) {
        archive = NULL;
    } else {
        status = fail_packing(path, zip_get_error(archive));
    }
done:
    if (archive) zip_discard(archive);
    for (int i = 0; heads && i < n; i++) text_free(&heads[i]);
    free(heads);
    zip_error_fini(&error);
    return status;
}

static dfl_status copy_image(const char *path, zip_source_t *image, file_writer *w) {
    enum { PIECE = 1 << 16 };
    dfl_status status = DFL_OK;
    zip_int64_t got = 0;
    if (zip_source_open(image) != 0) return fail_packing(path, zip_source_error(image));
    char *const piece = mem_array(PIECE, 1);
    TRY_GOTO(piece ? DFL_OK : fail_memory(), done);
    while ((got = zip_source_read(image, piece, PIECE)) > 0) {
        TRY_GOTO(file_write(w, piece, (size_t)got), done);
    }
    if (got < 0) status = fail_packing(path, zip_source_error(image));
done:
    free(piece);
    zip_source_close(image);
    return status;
}

dfl_status npz_write(const char *path, const named_array *arrays, int n) {
    file_writer w = {0};
    dfl_status status = DFL_OK;
    if (n < 1) return fail(DFL_E_ARG, "cannot write '%s': an .npz holds at least one array", path);
    zip_source_t *const image = zip_source_buffer_create(NULL, 0, 0, NULL);
    if (!image) return fail_memory();
    /* created first: an unwritable folder shows before the work of packing */
    TRY_GOTO(file_create(path, &w), done);
    TRY_GOTO(pack_all(path, arrays, n, image), done);
    TRY_GOTO(copy_image(path, image, &w), done);
    status = file_commit(&w);
done:
    file_discard(&w);
    zip_source_free(image);
    return status;
}
