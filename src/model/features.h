/* A network of one input: it turns pictures into features, and perhaps logits, or the vectors of a
   flow (prior/flow.h). One input [rows][shape] of float32, outputs with `width` and `classes` numbers
   a row. Its micro-batch is fixed when it is opened. */
#ifndef DFL_FEATURES_H
#define DFL_FEATURES_H

#include "base/base.h"

/* What a card says of it; borrowed while it is opened. */
typedef struct {
    const char *file;              /* ONNX */
    const char *images;            /* input */
    const char *features, *logits; /* outputs; logits NULL: none */
    int rank;                      /* of a row, 1 to 3: D numbers, or C, H, W */
    size_t shape[3], width, classes, rows;
    int threads; /* 0: all */
} feature_wish;

typedef struct feature_graph feature_graph;

/* E_IO, E_MODEL (the graph is not what the card says), E_RUNTIME, E_RANGE, E_MEMORY. */
dfl_status feature_graph_open(const feature_wish *wish, feature_graph **out);
void feature_graph_free(feature_graph *g); /* NULL is fine */

/* Where the rows go, [rows][shape]. */
float *feature_graph_input(feature_graph *g);

/* Evaluates the network on what stands there; the results are the graph's until the next call.
 *logits: NULL if there are none. */
dfl_status feature_graph_run(feature_graph *g, const float **features, const float **logits);

#endif
