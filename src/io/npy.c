/* NumPy's .npy: a magic, a version, the length of a header, the header (a Python dictionary with
   the three keys descr, fortran_order and shape, padded so that the data starts at a multiple of
   64), the raw data. The header is read by a parser for exactly this dictionary; nothing in a file
   is ever evaluated, and nothing is allocated before the sizes agree. */
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "array files are little endian, and so must be the machine"
#endif

static const char magic[] = "\x93NUMPY";
enum { MAGIC = 6, VERSIONED = 8, ALIGNMENT = 64 };

typedef struct {
    const char *descr;
    size_t size;
} type_row;

static const type_row types[] = {
    [ARRAY_F32] = {"<f4", 4},
    [ARRAY_F64] = {"<f8", 8},
    [ARRAY_U8] = {"|u1", 1},
    [ARRAY_I64] = {"<i8", 8},
};

size_t array_type_size(array_type type) {
    return types[type].size;
}

size_t array_count(const array *a) {
    size_t count = 1;
    for (int i = 0; i < a->rank; i++) count *= a->shape[i];
    return count;
}

bool array_is_real(const array *a) {
    return a->type == ARRAY_F64 || a->type == ARRAY_F32;
}

double array_real(const array *a, size_t i) {
    return a->type == ARRAY_F64 ? ((const double *)a->data)[i]
                                : (double)((const float *)a->data)[i];
}

void array_free(array *a) {
    free(a->data);
    *a = (array){0};
}

/* ---- header: reading ------------------------------------------------------------------------- */

typedef struct {
    const char *where, *at, *end;
    array *out;
    bool has_descr, has_order, has_shape;
} parser;

static dfl_status fail_header(const parser *p, const char *wanted) {
    return fail(DFL_E_FORMAT, "%s: the .npy header is malformed: %s", p->where, wanted);
}

static void skip_blanks(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t')) p->at++;
}

/* Steps over c, with blanks before it; false, and nothing moved but blanks, if it isn't there. */
static bool take(parser *p, char c) {
    skip_blanks(p);
    const bool there = p->at < p->end && *p->at == c;
    p->at += there;
    return there;
}

static bool take_word(parser *p, const char *word) {
    const size_t length = strlen(word);
    skip_blanks(p);
    const bool there = (size_t)(p->end - p->at) >= length && !memcmp(p->at, word, length);
    if (there) p->at += length;
    return there;
}

/* A Python string without escapes. */
static dfl_status take_string(parser *p, char *word, size_t cap) {
    skip_blanks(p);
    const char quote = p->at < p->end ? *p->at : 0;
    if (quote != '\'' && quote != '"') return fail_header(p, "a quoted string is missing");
    const char *const begin = p->at + 1;
    const char *const close = memchr(begin, quote, (size_t)(p->end - begin));
    if (!close) return fail_header(p, "a string has no end");
    const size_t length = (size_t)(close - begin);
    if (length >= cap || memchr(begin, '\\', length) || memchr(begin, 0, length)) {
        return fail_header(p, "a string is too long or has escapes");
    }
    memcpy(word, begin, length);
    word[length] = 0;
    p->at = close + 1;
    return DFL_OK;
}

static dfl_status parse_descr(parser *p) {
    char descr[24];
    if (take(p, '[')) {
        return fail(DFL_E_FORMAT, "%s: records with fields are not read; allowed: f4, f8, u1, i8",
                    p->where);
    }
    TRY(take_string(p, descr, sizeof descr));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const bool order = descr[0] == '<' || (descr[0] == '|' && types[i].size == 1);
        if (!order || strcmp(descr + 1, types[i].descr + 1)) continue;
        p->out->type = (array_type)i;
        return DFL_OK;
    }
    if (descr[0] == '>') {
        return fail(DFL_E_FORMAT,
                    "%s: big-endian numbers ('%s') are not read; save "
                    "a.astype(a.dtype.newbyteorder('<'))",
                    p->where, descr);
    }
    if (strchr(descr, 'O')) {
        return fail(DFL_E_FORMAT, "%s: an array of Python objects is not read", p->where);
    }
    return fail(DFL_E_FORMAT, "%s: element type '%s' is not read; allowed: <f4, <f8, |u1, <i8",
                p->where, descr);
}

static dfl_status parse_order(parser *p) {
    if (take_word(p, "False")) return DFL_OK;
    if (!take_word(p, "True")) return fail_header(p, "fortran_order must be True or False");
    return fail(DFL_E_FORMAT,
                "%s: the array is stored column by column (Fortran order); save "
                "np.ascontiguousarray(a)",
                p->where);
}

static dfl_status parse_dimension(parser *p, size_t *out) {
    size_t x = 0;
    skip_blanks(p);
    if (p->at < p->end && *p->at == '-') return fail_header(p, "a dimension is negative");
    const char *const begin = p->at;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        const size_t digit = (size_t)(*p->at - '0');
        if (x > (SIZE_MAX - digit) / 10) return fail_header(p, "a dimension is too large");
        x = 10 * x + digit;
    }
    if (p->at == begin) return fail_header(p, "shape must be a tuple of whole numbers");
    *out = x;
    return DFL_OK;
}

static dfl_status parse_shape(parser *p) {
    array *const a = p->out;
    if (!take(p, '(')) return fail_header(p, "shape must be a tuple of whole numbers");
    bool comma = true;
    for (a->rank = 0; !take(p, ')'); a->rank++) {
        if (!comma) return fail_header(p, "shape lacks a comma or its ')'");
        if (a->rank == ARRAY_RANK_MAX) {
            return fail(DFL_E_FORMAT, "%s: the array has more than %d dimensions", p->where,
                        ARRAY_RANK_MAX);
        }
        TRY(parse_dimension(p, &a->shape[a->rank]));
        comma = take(p, ',');
    }
    /* (5) is a number in Python, (5,) a tuple */
    return a->rank == 1 && !comma ? fail_header(p, "shape must be a tuple, like (5,)") : DFL_OK;
}

static dfl_status parse_entry(parser *p) {
    const struct {
        const char *key;
        bool *seen;
        dfl_status (*parse)(parser *);
    } entries[] = {{"descr", &p->has_descr, parse_descr},
                   {"fortran_order", &p->has_order, parse_order},
                   {"shape", &p->has_shape, parse_shape}};
    char key[24];
    TRY(take_string(p, key, sizeof key));
    if (!take(p, ':')) return fail_header(p, "a key is not followed by ':'");
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strcmp(key, entries[i].key)) continue;
        if (*entries[i].seen) return fail_header(p, "a key stands there twice");
        *entries[i].seen = true;
        return entries[i].parse(p);
    }
    return fail_header(p, "a key is none of descr, fortran_order, shape");
}

static dfl_status parse_dictionary(parser *p) {
    if (!take(p, '{')) return fail_header(p, "it does not begin with '{'");
    bool comma = true;
    while (!take(p, '}')) {
        if (!comma) return fail_header(p, "a ',' or the closing '}' is missing");
        TRY(parse_entry(p));
        comma = take(p, ',');
    }
    skip_blanks(p);
    if (p->at < p->end) return fail_header(p, "something follows the '}'");
    const bool complete = p->has_descr && p->has_order && p->has_shape;
    return complete ? DFL_OK : fail_header(p, "descr, fortran_order and shape must all be there");
}

/* The extents multiplied as if none were 0: whoever uses a part of the shape must not overflow. */
static size_t shape_extent(int rank, const size_t *shape, size_t size) {
    for (int i = 0; i < rank; i++) size = mem_product(size, shape[i] ? shape[i] : 1, 1);
    return size;
}

static dfl_status check_sizes(const npy_beginning *from, const array *a, size_t head) {
    const size_t size = array_type_size(a->type), there = from->total - head;
    if (shape_extent(a->rank, a->shape, size) > PTRDIFF_MAX) {
        return fail(DFL_E_FORMAT, "%s: the shape of the array is too large to address",
                    from->where);
    }
    const size_t needed = array_count(a) * size;
    if (needed != there) {
        return fail(DFL_E_FORMAT,
                    "%s: the header promises %zu bytes of data, but %zu are there (%s)",
                    from->where, needed, there, needed > there ? "cut off?" : "surplus");
    }
    if (needed > from->limit) {
        return fail(DFL_E_FORMAT, "%s: %zu bytes of data; at most %zu are allowed here",
                    from->where, needed, from->limit);
    }
    return DFL_OK;
}

static size_t little_endian(const char *bytes, size_t n) {
    size_t x = 0;
    for (size_t i = n; i-- > 0;) x = x << 8U | (unsigned char)bytes[i];
    return x;
}

dfl_status npy_head(const npy_beginning *from, array *out, size_t *head) {
    *out = (array){0};
    *head = 0;
    if (from->size < VERSIONED + 2 || memcmp(from->bytes, magic, MAGIC)) {
        return fail(DFL_E_FORMAT, "%s: not an .npy file", from->where);
    }
    const int major = (unsigned char)from->bytes[MAGIC];
    const int minor = (unsigned char)from->bytes[MAGIC + 1];
    if (major < 1 || major > 3 || minor != 0) {
        return fail(DFL_E_FORMAT, "%s: .npy version %d.%d is not known; allowed: 1.0, 2.0, 3.0",
                    from->where, major, minor);
    }
    const size_t start = VERSIONED + (major == 1 ? 2 : 4);
    const size_t length =
        from->size < start ? SIZE_MAX : little_endian(from->bytes + VERSIONED, start - VERSIONED);
    if (length > NPY_HEAD_MAX - start || length > from->size - start) {
        return fail(DFL_E_FORMAT, "%s: the .npy header is cut off or longer than %d bytes",
                    from->where, NPY_HEAD_MAX);
    }
    parser p = {.where = from->where, .at = from->bytes + start, .out = out};
    p.end = p.at + length;
    dfl_status status = parse_dictionary(&p);
    if (status == DFL_OK) status = check_sizes(from, out, start + length);
    if (status == DFL_OK) *head = start + length;
    if (status != DFL_OK) *out = (array){0};
    return status;
}

/* ---- whole arrays ---------------------------------------------------------------------------- */

dfl_status npy_parse(const char *where, const char *bytes, size_t size, size_t limit, array *out) {
    size_t head = 0;
    TRY(npy_head(&(npy_beginning){where, bytes, size, size, limit}, out, &head));
    out->data = mem_array(size - head, 1);
    if (!out->data) {
        array_free(out);
        return fail_memory();
    }
    if (size > head) memcpy(out->data, bytes + head, size - head);
    return DFL_OK;
}

/* The block the file was read into becomes the array's, so that nothing is held twice. */
dfl_status npy_read(const char *path, size_t limit, array *out) {
    char *bytes = NULL;
    size_t size = 0, head = 0;
    *out = (array){0};
    const size_t most = limit < SIZE_MAX - NPY_HEAD_MAX ? limit + NPY_HEAD_MAX : SIZE_MAX;
    TRY(file_read(path, most, &bytes, &size));
    const dfl_status status =
        npy_head(&(npy_beginning){path, bytes, size, size, limit}, out, &head);
    if (status != DFL_OK) {
        free(bytes);
        return status;
    }
    memmove(bytes, bytes + head, size - head);
    out->data = bytes;
    return DFL_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

dfl_status npy_header(array_type type, int rank, const size_t *shape, text *out) {
    text dictionary = {0};
    if (rank < 0 || rank > ARRAY_RANK_MAX) {
        return fail(DFL_E_RANGE, "an array of %d dimensions is outside 0..%d", rank,
                    ARRAY_RANK_MAX);
    }
    text_add(&dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (", types[type].descr);
    for (int i = 0; i < rank; i++) text_add(&dictionary, "%s%zu", i ? ", " : "", shape[i]);
    text_add(&dictionary, "%s), }", rank == 1 ? "," : "");
    const size_t before = VERSIONED + 2, length = dictionary.len + 1; /* with its final newline */
    const size_t padded = (before + length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - before;
    text_add(out, "%s%c%c%c%c", magic, 1, 0, (int)(padded & 255U), (int)(padded >> 8U));
    text_add(out, "%s%*s\n", dictionary.failed ? "" : dictionary.data, (int)(padded - length), "");
    if (dictionary.failed) out->failed = true;
    text_free(&dictionary);
    return out->failed ? fail_memory() : DFL_OK;
}

struct npy_writer {
    file_writer file;
    size_t rows, written, row_bytes;
};

dfl_status npy_create(const char *path, array_type type, int rank, const size_t *shape,
                      npy_writer **out) {
    text head = {0};
    npy_writer *w = NULL;
    dfl_status status = DFL_OK;
    *out = NULL;
    TRY_GOTO(npy_header(type, rank, shape, &head), done);
    if (shape_extent(rank, shape, array_type_size(type)) > PTRDIFF_MAX) {
        status = fail(DFL_E_MEMORY, "%s: the shape of the array is too large to address", path);
        goto done;
    }
    w = mem_array(1, sizeof *w);
    TRY_GOTO(w ? DFL_OK : fail_memory(), done);
    w->rows = rank > 0 ? shape[0] : 1;
    w->row_bytes = array_type_size(type);
    for (int i = 1; i < rank; i++) w->row_bytes *= shape[i];
    TRY_GOTO(file_create(path, &w->file), done);
    TRY_GOTO(file_write(&w->file, head.data, head.len), done);
    *out = w;
    w = NULL;
done:
    npy_discard(w);
    text_free(&head);
    return status;
}

dfl_status npy_append(npy_writer *w, const void *rows, size_t nrows) {
    if (nrows > w->rows - w->written) {
        return fail(DFL_E_RANGE, "'%s' takes %zu rows; %zu are written, %zu more don't fit",
                    w->file.path, w->rows, w->written, nrows);
    }
    TRY(file_write(&w->file, rows, nrows * w->row_bytes));
    w->written += nrows;
    return DFL_OK;
}

dfl_status npy_commit(npy_writer *w) {
    const bool complete = w->written == w->rows;
    const dfl_status status =
        complete ? file_commit(&w->file)
                 : fail(DFL_E_IO, "'%s' is not written: %zu of %zu rows were given", w->file.path,
                        w->written, w->rows);
    npy_discard(w);
    return status;
}

void npy_discard(npy_writer *w) {
    if (!w) return;
    file_discard(&w->file);
    free(w);
}
