/* Files of arrays and pictures. Sees base only. All readers treat the file as untrusted input; all
   writers write beside the target and rename, so that a half-written file never has its name. */
#ifndef DFL_IO_H
#define DFL_IO_H

#include "base/base.h"

enum { ARRAY_RANK_MAX = 8 };
typedef enum { ARRAY_F32, ARRAY_F64, ARRAY_U8, ARRAY_I64 } array_type;

/* A dense row-major array. data is owned by the holder (free with array_free). */
typedef struct {
    array_type type;
    int rank;
    size_t shape[ARRAY_RANK_MAX];
    void *data;
} array;

size_t array_type_size(array_type type);
size_t array_count(const array *a);          /* product of the shape, 1 for rank 0 */
bool array_is_real(const array *a);          /* of floats or doubles */
double array_real(const array *a, size_t i); /* number i of such */
void array_free(array *a);

/* ---- npy.c: one array ------------------------------------------------------------------------ */

/* Reads .npy versions 1-3, little endian f4, f8, u1, i8, C order, at most `limit` bytes of data. */
dfl_status npy_read(const char *path, size_t limit, array *out);
/* The same from memory, `where` for messages: also the members of an .npz. */
dfl_status npy_parse(const char *where, const char *bytes, size_t size, size_t limit, array *out);
/* The beginning of an .npy: `size` of its `total` bytes, NPY_HEAD_MAX or all of them. */
enum { NPY_HEAD_MAX = 1 << 16 };
typedef struct {
    const char *where, *bytes;
    size_t size, total, limit;
} npy_beginning;
/* Reads the header alone: *out without data, *head its length. What follows the header must be
   exactly the data it promises, and at most `limit` bytes. */
dfl_status npy_head(const npy_beginning *from, array *out, size_t *head);
/* The header that stands before the raw data of an array of that type and shape. */
dfl_status npy_header(array_type type, int rank, const size_t *shape, text *out);

/* Streaming writer: shape[0] rows known beforehand, appended in order, committed at the end. */
typedef struct npy_writer npy_writer;
dfl_status npy_create(const char *path, array_type type, int rank, const size_t *shape,
                      npy_writer **out);
dfl_status npy_append(npy_writer *w, const void *rows, size_t nrows);
dfl_status npy_commit(npy_writer *w); /* E_IO if rows are missing; frees w in every case */
void npy_discard(npy_writer *w);      /* NULL is fine */

/* Rows of a regular file, read where they stand. The shape's data is NULL, its rank 1 or more. */
typedef struct npy_rows npy_rows;
dfl_status npy_rows_open(const char *path, npy_rows **out);
const array *npy_rows_shape(const npy_rows *r);
dfl_status npy_rows_read(const npy_rows *r, size_t first, size_t n, void *dst);
void npy_rows_close(npy_rows *r); /* NULL is fine */

/* ---- npz.c: several named arrays (zip of .npy, deflated; libzip) ----------------------------- */

typedef struct {
    const char *name; /* without ".npy" */
    array value;
} named_array;

/* Reads the members called names[i] into out[i]; a missing one has rank -1 if `optional`, else
   E_FORMAT. The size a member claims is checked against its header and `limit` before inflating. */
dfl_status npz_read(const char *path, const char *const *names, int n, bool optional, size_t limit,
                    array *out);
/* Whether there is an array of each name, without unpacking any. */
dfl_status npz_has(const char *path, const char *const *names, int n, bool *there);
dfl_status npz_write(const char *path, const named_array *arrays, int n);

/* ---- png.c: pictures ------------------------------------------------------------------------- */

/* 8-bit picture [height][width][channels], channels 1 or 3; text entries (may be 0) become tEXt. */
dfl_status png_write(const char *path, size_t height, size_t width, int channels,
                     const uint8_t *pixels, const char *const *keys, const char *const *values,
                     int ntext);

/* A picture in memory, [height][width][channels], channels 1 or 3; pixels are the holder's. */
typedef struct {
    size_t height, width;
    int channels;
    uint8_t *pixels;
} bitmap;

/* Reads a PNG of a stranger: grey or RGB of up to 8 bits, or a palette, becomes 8-bit grey or RGB.
   16 bits and transparency are refused, and so are more than 2^14 pixels a side or 2^26 in all.
   E_IO, E_FORMAT. */
dfl_status png_read(const char *path, bitmap *out);
void bitmap_free(bitmap *b);

/* Values of samples [n][C][H][W] (float or double, C in {1, 3}) to bytes, range lo..hi to 0..255,
   rounded, clamped. dst is [n][H][W][C]. */
void image_bytes(array_type type, const void *samples, size_t n, size_t channels, size_t height,
                 size_t width, double lo, double hi, uint8_t *dst);

/* Tiles n pictures [n][H][W][C] into a grid of `columns`, with a margin of 2 pixels.
 *grid is to be freed; *gh, *gw its size. */
dfl_status image_grid(const uint8_t *images, size_t n, size_t height, size_t width, int channels,
                      size_t columns, uint8_t **grid, size_t *gh, size_t *gw);

/* ---- idx.c: pictures of bytes in MNIST's format, plain or gzipped --------------------------- */

typedef struct {
    size_t count, height, width; /* as the file claims */
} idx_shape;

typedef struct idx_reader idx_reader;
dfl_status idx_open(const char *path, idx_reader **out);
idx_shape idx_size(const idx_reader *r);
/* Pictures first .. first + n - 1, [n][height][width]; forward is fast. E_FORMAT: cut off. */
dfl_status idx_read(idx_reader *r, size_t first, size_t n, uint8_t *dst);
void idx_close(idx_reader *r); /* NULL is fine */

#endif
