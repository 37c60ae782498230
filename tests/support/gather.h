/* What the tests of statistics share: a folder for files, and a model of one Gaussian. */
#ifndef DFL_TEST_GATHER_H
#define DFL_TEST_GATHER_H

#include "support/cases.h"
#include "support/folder.h"

enum { D = 8 }; /* numbers in a sample of the Gaussian */

void write_bytes(const char *path, const char *data);
void assert_same_files(const char *a, const char *b);

/* N(0, 0.5^2) with a card that says what is predicted, and `more` members (",\"key\":value"). */
dfl_model *gaussian_that_predicts(const char *type, const char *more);

dfl_stats *begin(dfl_model *model, const char *spec, const char *options);
void gather(dfl_model *model, const char *spec, const char *options, const char *path);

#endif
