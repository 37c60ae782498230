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

/* A folder of this process, gone when it ends, and a file in it; `name` may lead through folders, which
   are made. */
const char *fuzz_folder(void);
void fuzz_put(const char *name, const void *data, size_t size);
void fuzz_drop(const char *name);

/* Path of an .npz. An input that begins as one ("PK") is taken as it is; another says what is in it,
   so that checksums and packing keep no change from the reader. Array after array: a byte for its
   name, a byte 8 rank + type, its sizes (a byte below 128, or two: 128 + high, low), its data; zeros
   where the input ends. */
const char *fuzz_archive(const uint8_t *data, size_t size, const char *const *names, size_t n);

/* Asks a call that writes text for the length, then for the text, and returns it, to be freed. */
typedef dfl_status (*fuzz_getter)(const void *object, char *buf, size_t cap, size_t *need);
char *fuzz_fetch(fuzz_getter get, const void *object);
char *fuzz_plan_json(const dfl_plan *plan);

/* A card that was read says what it was read from: printed and read once more, by itself or from a
   folder, it prints the same. */
struct card;
void fuzz_print_card(const struct card *c);

/* Models that answer with half of their input, made once: of one component, or in phase space with
   an answer about both halves or one. They predict noise and live on samples of two numbers. */
enum { FUZZ_SCALAR, FUZZ_BOTH, FUZZ_HALF, FUZZ_MODELS, FUZZ_DIM = 2 };
dfl_model *fuzz_model(int which);

/* Runs an accepted plan on such a model, two samples, if it is not too long. */
void fuzz_run(const dfl_plan *plan, dfl_model *model);

#endif
