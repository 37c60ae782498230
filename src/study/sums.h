/* Statistics of a model: mean |eps| at the times of an offline run, and the file that keeps them.
 */
#ifndef DFL_SUMS_H
#define DFL_SUMS_H

#include "base/json.h"
#include "run/run.h"

enum { STATS_TIMES_MAX = 100000, STATS_RANGES_MAX = 4096 };

/* Samples first .. first + count - 1 of a seed. */
typedef struct {
    uint64_t seed, first, count;
} stats_range;

/* What has been gathered, in memory as in the file. Sums are multiples of 2^-32, so that adding is
   exact (below 2^21) and neither the order nor the cut into batches and files shows. */
typedef struct {
    char *network; /* name of the model, or NULL */
    char digest[DIGEST_HEX];
    json_t *settings;   /* how: solver, grid, process, times, guidance, bins; flat */
    stats_range *range; /* sorted, apart from each other */
    size_t nranges, n;  /* n: evaluations of a sample */
    double *time, *sum; /* [n]: of an evaluation; over samples, of mean |eps| over elements */
    size_t bins;        /* of the result: value k at t = (k + 1)/bins */
} stats_sums;

/* A setting that older files lack: digest of the model's card. */
extern const char stats_card_key[];

void stats_sums_free(stats_sums *s);
uint64_t stats_count(const stats_sums *s); /* samples in all */

/* Different times of the evaluations. */
dfl_status stats_times(const stats_sums *s, size_t *n);

/* mean[bins]: linear between the times of the evaluations, constant beyond them. */
dfl_status stats_means(const stats_sums *s, double *mean);

/* Adds `from`, read from `path`. E_COMBINATION: of another model or other settings, or samples that
   are there already. */
dfl_status stats_add(stats_sums *to, const stats_sums *from, const char *path);
dfl_status stats_same(const stats_sums *a, const stats_sums *b, const char *path);

dfl_status stats_read(const char *path, stats_sums *out);
dfl_status stats_write(const stats_sums *s, const char *path);

/* The head and tail of a file, and rows of numbers in it, for writers. */
void stats_head(text *out, const char *network, const char *digest);
void stats_reals(text *out, const char *key, const double *x, size_t n);
dfl_status stats_finish(const char *path, text *out);

#endif
