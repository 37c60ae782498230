/* A prior that a normalising flow makes: normals in, a state x_T out, and its density, as two
   networks in a folder with a card (prior.json; docs/prior-format.md). It is a density at its own T
   alone. The random numbers are ours, so that a sample is a function of seed and index. */
#ifndef DFL_PRIOR_FLOW_H
#define DFL_PRIOR_FLOW_H

#include "prior/form.h"

enum { FLOW_RANK_MAX = 3 };

/* One network of it: names in the graph; `file` an absolute path inside the folder. */
typedef struct {
    char *file, *input, *output;
    char sha256[DIGEST_HEX];
} flow_network;

typedef struct {
    char *name;
    int rank;
    size_t shape[FLOW_RANK_MAX], d;
    bool has_range;
    double range[2]; /* of the data it was trained on */
    double t, a, b;
    flow_network sampler, density;
    gate_row gate;
} flow_card;

/* Reads prior.json of a folder; a stranger's. E_IO, E_FORMAT, E_KEY, E_RANGE. */
dfl_status flow_card_read(const char *folder, flow_card *out);
/* The same from text; files are then only names, not looked for. */
dfl_status flow_card_parse(const char *where, const char *json, size_t length, flow_card *out);
void flow_card_free(flow_card *c);

/* The card and both networks, opened; copies of a prior share it. */
typedef struct flow flow;

/* A prior from a folder. E_MODEL: networks that are not what the card says; E_RUNTIME. */
dfl_status flow_read(const char *folder, prior **out);
dfl_status flow_copy(const prior *p, prior **out);
void flow_release(flow *f); /* NULL is fine */

const flow_card *flow_card_of(const flow *f);

dfl_status flow_draw(const flow *f, uint64_t seed, uint64_t sample, double *x);
dfl_status flow_logp(const flow *f, const double *x, size_t n, double *logp);

#endif
