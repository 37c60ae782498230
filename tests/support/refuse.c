/* The allocator that fails on demand; see refuse.h. */
#include "support/refuse.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- the allocator --------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
char *__real_realpath(const char *path, char *resolved);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);
char *__wrap_realpath(const char *path, char *resolved);

static struct {
    bool on;
    size_t calls, fail_at; /* from 1; 0: never */
    long live;             /* blocks not freed */
    bool failed, failed_in_parser;
    bool cut; /* failures in the parser may do no harm */
} memory;

static bool refuse(void) {
    if (!memory.on || ++memory.calls != memory.fail_at) return false;
    memory.failed = true;
    return true;
}

static void *counted(void *block) {
    if (memory.on && block) memory.live++;
    return block;
}

void *__wrap_malloc(size_t size) {
    return refuse() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size) {
    return refuse() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size) {
    if (refuse()) return NULL;
    void *block = __real_realloc(old, size);
    return old ? block : counted(block);
}

void __wrap_free(void *block) {
    if (memory.on && block) memory.live--;
    __real_free(block);
}

/* It allocates inside the C library, and its caller frees. */
char *__wrap_realpath(const char *path, char *resolved) {
    if (!refuse()) return counted(__real_realpath(path, resolved));
    errno = ENOMEM;
    return NULL;
}

static void *parser_malloc(size_t size) {
    void *block = __wrap_malloc(size);
    if (!block) memory.failed_in_parser = true;
    return block;
}

/* ---- attempts -------------------------------------------------------------------------------- */

/* False once n is beyond the last allocation. */
static bool attempt_with(const refuse_case *c, size_t n) {
    memory.calls = 0;
    memory.live = 0;
    memory.failed = memory.failed_in_parser = false;
    memory.fail_at = n;
    memory.on = true;
    const dfl_status status = c->attempt();
    memory.on = false;
    const bool refused =
        memory.failed_in_parser ? memory.cut || status != DFL_OK : status == DFL_E_MEMORY;
    const bool good = memory.live == 0 && (memory.failed ? refused : status == DFL_OK);
    if (!good)
        print_error("%s, allocation %zu: %s (%s), %ld blocks left\n", c->name, n,
                    dfl_status_name(status), dfl_last_message(), memory.live);
    assert_true(good);
    if (status == DFL_E_MEMORY) assert_non_null(strstr(dfl_last_message(), "out of memory"));
    return memory.failed;
}

void refuse_each(const refuse_case *cases, size_t count) {
    for (const refuse_case *c = cases; c < cases + count; c++) {
        attempt_with(c, 0);
        for (size_t n = 1; attempt_with(c, n);) n += one_of_every("REFUSE_EVERY");
        print_message("%s: %zu allocations\n", c->name, memory.calls);
        assert_true(memory.calls >= c->least);
        attempt_with(c, 0); /* and nothing is left disturbed */
    }
}

void refuse_each_cut(const refuse_case *cases, size_t count) {
    memory.cut = true;
    refuse_each(cases, count);
    memory.cut = false;
}

void refuse_begin(void) {
    json_set_alloc_funcs(parser_malloc, __wrap_free);
}
