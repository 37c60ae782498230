/* What the tests of likelihoods share: stored values, models, and one computation in a line. */
#ifndef DFL_TEST_EVIDENCE_H
#define DFL_TEST_EVIDENCE_H

#include "support/gather.h"

#include <jansson.h>

#include "eval/likelihood.h"

/* A list (of lists) of numbers as one row; returns how many. */
size_t numbers_of(const json_t *list, double *out, size_t cap);
double number_of(const json_t *object, const char *key);

/* Fixtures of a group, and what they prepare: tests/data/likelihood.json, the public mixture, the
   points [6][2] of the stored values, and a folder. */
int begin_group(void **state);
int end_group(void **state);
extern json_t *reference;
extern dfl_model *mixture2d;
extern double x0[12];

/* In four dimensions; its Jacobian is full. Writes a file into the folder. */
dfl_model *mixture4d(void);

/* Values [n][dim] as data of a computation; `dim` 0: two numbers. */
likelihood_data values_of(double *numbers, size_t n, size_t dim);

/* Computes all of it; rows are to be read from the result. */
likelihood *compute(dfl_model *model, const likelihood_data *data, const char *spec);
/* One column of it into out [n], computed and freed. */
void column(dfl_model *model, const likelihood_data *data, const char *spec, int which,
            double *out);
double row_of(const likelihood *l, size_t image, int which);

#endif
