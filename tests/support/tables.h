/* Reading tests/data/psld-kernel.json, and comparing 2x2 blocks. */
#ifndef DFL_TEST_TABLES_H
#define DFL_TEST_TABLES_H

#include "check.h"

#include <jansson.h>

#include "process/process.h"

json_t *tables_open(void); /* the whole file; to be given to json_decref */
/* Entry number n (from 0) with this "method"; NULL: there is none. */
const json_t *tables_entry(const json_t *file, const char *method, size_t n);

double table_real(const json_t *object, const char *key);
blk table_matrix(const json_t *object, const char *key); /* two rows of two */
/* The process an entry is about, with another kappa if `kappa` is not negative. */
process *table_process(const json_t *entry, double kappa);
process *open_process(const char *spec);

double relative(double a, double b); /* |a - b| / |b| */
double relative_blk(blk a, blk b);   /* the largest of the entries */
double apart(blk a, blk b);          /* largest |a - b|, relative to 1 + the largest |b| */

/* L of the marginal at t, numerical_eps included. */
blk factor_of(const process *p, double t);

#endif
