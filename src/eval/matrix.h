/* Features of many pictures in a file: float32 .npy [n][d], written by rows, read as memory. */
#ifndef DFL_MATRIX_H
#define DFL_MATRIX_H

#include "base/base.h"

typedef struct matrix matrix;

/* At `path`, where a file of the same shape keeps its rows, or without a name in $TMPDIR if path is
   NULL. Rows that are not written are zero. */
dfl_status matrix_open(const char *path, size_t n, size_t d, matrix **out);
bool matrix_kept(const matrix *m); /* it was there before */

dfl_status matrix_put(matrix *m, size_t row, size_t n, const float *x);
dfl_status matrix_get(const matrix *m, size_t row, size_t n, float *x);
dfl_status matrix_sync(const matrix *m); /* onto the disk */
/* All of it as memory, until the matrix is freed. */
dfl_status matrix_map(matrix *m, const float **x);
/* Gives the file its final name. */
dfl_status matrix_rename(matrix *m, const char *path);
void matrix_remove(matrix *m); /* the file's name goes; the rows stay until the matrix is freed */
void matrix_free(matrix *m);   /* NULL is fine */

#endif
