/* A folder of a test's own, for the files it makes. */
#ifndef DFL_TEST_FOLDER_H
#define DFL_TEST_FOLDER_H

#include "check.h"

enum { PATH = 128 }; /* a path in it, as tests name files */

/* Fixtures of a group: the folder is made, and removed with all that is in it. */
int folder_make(void **state);
int folder_remove(void **state);

/* The folder, and a path in it; one of eight buffers in turn. */
const char *the_folder(void);
const char *in_folder(const char *name);

int folder_entries(void); /* how many files and folders lie in it */

#endif
