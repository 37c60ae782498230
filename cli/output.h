/* Where samples go: one sink per kind of output. Nothing has its final name before it is whole. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "io/io.h"
#include "model/model.h"
#include "options.h"

/* What is known when the sink is opened. Pointers are borrowed for the sink's life. */
typedef struct {
    const char *path;
    const card *card;
    array_type type; /* of the samples that will be added */
    uint64_t first;
    size_t count;
    size_t columns;       /* of a grid; 0: about square */
    bool as_float;        /* .npz: the values themselves, not bytes */
    const int64_t *label; /* one for all, or NULL: sample i has label i mod classes */
    const char *const *keys, *const *values; /* text entries of pictures */
    int ntext;
} output_wish;

typedef struct sink sink;

/* The path can become an output: its ending is known, its folder exists and can be written.
   E_ARG for an unknown ending, E_IO for the rest. */
dfl_status output_check(const char *path);

/* The folder of a file exists and can be written, and no folder bears the file's name. */
dfl_status output_check_folder(const char *path);

/* The same, and the name of what is no device ends as its content wants it. E_ARG if not. */
dfl_status output_check_named(const char *path, const char *ending);

/* No file is written twice by a call, or written and read, however its name is spelled. */
dfl_status output_check_apart(const args *a);

/* Samples of this card are pictures: [1 or 3][height][width]. */
bool card_has_images(const card *c);

dfl_status sink_open(const output_wish *wish, sink **out);
/* Samples in order, n at a time, [n][sample shape] of the wish's type. */
dfl_status sink_add(sink *s, const void *samples, size_t n);
dfl_status sink_commit(sink *s);
/* Removes whatever is not committed; NULL is fine. */
void sink_free(sink *s);

/* Calls `tell` with the path of every file a committed sink has written. */
dfl_status sink_files(const sink *s, dfl_status (*tell)(void *user, const char *path), void *user);

#endif
