/* Probes v for traces: tr J is the mean of v'Jv (Hutchinson), each sample's own and the same all the
 * way along its trajectory.
 *
 *   exact       unit vectors e_1 ... e_D, whose values are summed
 *   rademacher  random signs: variance 2 sum_{i != j} S_ij^2, S the symmetric part of J
 *   gaussian    standard normals: variance 2 |S|^2
 *   hadamard    rows of Sylvester's matrix of the next power of two N >= D, cut to D columns, with
 *               one random sign flip of the columns: each is a Rademacher vector, and the mean over
 *               all N is the trace exactly, for sum_k v_k v_k' = N I
 */
#ifndef DFL_PROBE_H
#define DFL_PROBE_H

#include "base/base.h"

typedef enum { PROBE_EXACT, PROBE_RADEMACHER, PROBE_GAUSSIAN, PROBE_HADAMARD } probe_kind;

/* Keys of the random numbers of likelihoods, beside the DFL_DRAW_... of sampling. */
enum { DRAW_PROBE = 8, DRAW_DEQUANTISE, DRAW_BOUND, DRAW_TERMS, DRAW_PRIOR };

typedef struct {
    probe_kind kind;
    size_t dim, count; /* probes of a trace; exact: dim */
    uint64_t seed;
} probes;

/* Number of probes after which hadamard is exact. */
size_t probe_most(size_t dim);

/* Probe k < count of a sample's draw r, [dim]. */
void probe_fill(const probes *p, uint64_t sample, size_t draw, size_t k, double *v);

/* What v'Jv counts in the trace: 1, or 1/count for a mean. */
double probe_weight(const probes *p);

#endif
