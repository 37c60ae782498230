/* Memory that runs out, for tests called test_fail*: they are linked with --wrap for malloc, calloc,
   realloc, free and realpath, and what is here stands in for these. */
#ifndef DFL_TEST_REFUSE_H
#define DFL_TEST_REFUSE_H

#include "check.h"

/* Gives jansson the same functions. */
void refuse_begin(void);

/* A call, and what it made freed again. */
typedef struct {
    const char *name;
    dfl_status (*attempt)(void);
    size_t least; /* allocations it makes, at least: else nothing was tested */
} refuse_case;

/* Every attempt with its n-th allocation failing, for every n; or for every 7th, say, where the
   environment has REFUSE_EVERY=7. Each time it must say E_MEMORY and leave no block behind; what
   fails inside jansson comes back as a syntax error, which it does not tell apart. */
void refuse_each(const refuse_case *cases, size_t n);

/* The same where what jansson has no memory for may be missed: it cuts long words, and says nothing. */
void refuse_each_cut(const refuse_case *cases, size_t n);

#endif
