/* What the tests of statistics share: files in a folder of their own, and a model of one Gaussian.
 */
#ifndef DFL_TEST_GATHER_H
#define DFL_TEST_GATHER_H

#include "support/cases.h"

enum { PATH = 128, D = 8 }; /* D: numbers in a sample of the Gaussian */

/* Fixtures of a group: the folder is made, and removed with the files in it. */
int folder_make(void **state);
int folder_remove(void **state);

/* The folder, and a path in it; one of eight buffers in turn. */
const char *the_folder(void);
const char *in_folder(const char *name);

void write_bytes(const char *path, const char *data);
void assert_same_files(const char *a, const char *b);

/* N(0, 0.5^2) with a card that says what is predicted, and `more` members (",\"key\":value"). */
dfl_model *gaussian_that_predicts(const char *type, const char *more);

dfl_stats *begin(dfl_model *model, const char *spec, const char *options);
void gather(dfl_model *model, const char *spec, const char *options, const char *path);

#endif
