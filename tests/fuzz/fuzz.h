/* What the fuzz targets share. A target is fuzz_NAME.c with libFuzzer's entry point; CMake finds it,
   builds it for libFuzzer where the compiler is clang, and into test_fuzz everywhere, which replays
   corpus/NAME. A target returns 0 whatever the input; what must not be ends the process. */
#ifndef DFL_FUZZ_H
#define DFL_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driftless/driftless.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts with a sentence if `good` is false. */
void fuzz_check(bool good, const char *sentence);

/* A failure has a code of the list and a sentence; a success gave a result. */
void fuzz_outcome(dfl_status status, const void *result);

/* The same for a call that sets `result`. */
#define FUZZ_CALL(call, result)                                                                    \
    do {                                                                                           \
        const dfl_status fuzz_status_ = (call);                                                    \
        fuzz_outcome(fuzz_status_, result);                                                        \
    } while (0)

/* The input as terminated text, to be freed. */
char *fuzz_text(const uint8_t *data, size_t size);

/* Path of a file without a name that holds the input; the next call overwrites it. */
const char *fuzz_file(const uint8_t *data, size_t size);

/* Asks a call that writes text for the length, then for the text, and returns it, to be freed. */
typedef dfl_status (*fuzz_getter)(const void *object, char *buf, size_t cap, size_t *need);
char *fuzz_fetch(fuzz_getter get, const void *object);
char *fuzz_plan_json(const dfl_plan *plan);

/* Models that answer with half of their input, made once: of one component, or in phase space with
   an answer about both halves or one. They predict noise and live on samples of two numbers. */
enum { FUZZ_SCALAR, FUZZ_BOTH, FUZZ_HALF, FUZZ_MODELS, FUZZ_DIM = 2 };
dfl_model *fuzz_model(int which);

/* Runs an accepted plan on such a model, two samples, if it is not too long. */
void fuzz_run(const dfl_plan *plan, dfl_model *model);

#endif
