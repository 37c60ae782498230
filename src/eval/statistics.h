/* Statistics of features as files keep them: (n, mean, M2) and sums of class probabilities, in blocks
   aligned to the absolute index of pictures, with what made them.
 *
 * A shard is SHARD pictures from a multiple of SHARD on. Two complete blocks of equal size that make
 * a block of twice the size at a multiple of it are merged into that: which blocks there are, and
 * every bit of them, follows from which pictures were seen, not from how they were cut into runs and
 * files, as long as the cuts are at multiples of SHARD. n pictures leave about log2(n/SHARD) blocks. */
#ifndef DFL_STATISTICS_H
#define DFL_STATISTICS_H

#include "eval/metrics.h"

enum { SHARD = 512 };

typedef struct {
    uint64_t first, count;
    moments m;
    double *guess; /* [classes + 1]: sums of p, then of sum p log p; NULL without classes */
} tally_block;

/* Pictures first .. first + count - 1 came from there. */
typedef struct {
    char digest[DIGEST_HEX];
    char *what;
    uint64_t first, count;
} tally_origin;

typedef struct {
    size_t d, classes;
    char extractor[DIGEST_HEX];
    char *name;           /* of the extractor */
    tally_origin *origin; /* sorted, apart from each other */
    size_t norigins, origin_cap;
    tally_block *block; /* sorted */
    size_t n, cap;
    char tail
        [DIGEST_HEX]; /* of the last features, while these are gathered elsewhere, too; else "" */
} statistics;

/* Empty ones of an extractor. */
dfl_status statistics_new(size_t d, size_t classes, const char *name, const char *extractor,
                          statistics *out);
void statistics_free(statistics *s);
uint64_t statistics_count(const statistics *s);

/* Features x [n][d] and logits [n][classes] (NULL without classes) of pictures first .. first + n - 1,
   which lie in one shard. */
dfl_status statistics_add(statistics *s, uint64_t first, size_t n, const float *x,
                          const float *logits);
dfl_status statistics_origin(statistics *s, const char *digest, const char *what, uint64_t first,
                             uint64_t count);
/* Forgets the incomplete shard at the end, which more pictures would continue. */
void statistics_cut(statistics *s);

/* All of it: *total is to be freed; the inception score (one split), or NaN without classes. */
dfl_status statistics_total(const statistics *s, moments *total, double *inception_mean);

/* Takes everything of `from`, read from `path`. E_COMBINATION: another extractor, or the same
   pictures twice. */
dfl_status statistics_merge(statistics *s, const statistics *from, const char *path);

/* .npz: mu and sigma as clean-fid, EDM and torch-fidelity keep them, and our blocks beside them. */
dfl_status statistics_write(const statistics *s, const char *path);
dfl_status statistics_read(const char *path, statistics *out);

/* What an .npz holds. */
typedef enum { NPZ_PICTURES, NPZ_STATISTICS, NPZ_GAUSSIAN } npz_kind;
dfl_status statistics_kind(const char *path, npz_kind *out);
/* mu and sigma alone, of anyone's file; of ours, too. */
dfl_status statistics_gaussian(const char *path, gaussian *out);

#endif
