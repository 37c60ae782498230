/* From pictures, or ready-made features, to statistics: shard by shard in the order of absolute
   indices, so that a run can end after any shard and another go on from there to the same bits. */
#ifndef DFL_GATHER_H
#define DFL_GATHER_H

#include "eval/extractor.h"
#include "eval/matrix.h"
#include "eval/statistics.h"

/* Where features come from; `pictures` and `extractor` are borrowed. */
typedef struct feature_source feature_source;

/* Looks at the first picture, so that what does not fit is refused at once. */
dfl_status features_of_pictures(picture_source *pictures, extractor *e, feature_source **out);

/* Whether a file is an .npy of rank 2: ready-made features [n][d]. */
bool features_are_ready(const char *path);
/* float32 or float64; the first `count` (0: all), numbered from `first`. Extractor "ready-made". */
dfl_status features_ready(const char *path, uint64_t first, size_t count, feature_source **out);
extern const char features_ready_name[];

void features_free(feature_source *s); /* NULL is fine */
uint64_t features_first(const feature_source *s);
size_t features_count(const feature_source *s);
size_t features_width(const feature_source *s);
size_t features_classes(const feature_source *s);
const char *features_what(const feature_source *s);   /* for people */
const char *features_digest(const feature_source *s); /* of where they come from */

/* Empty statistics of this source's extractor. */
dfl_status features_statistics(const feature_source *s, statistics *out);

typedef struct {
    feature_source *from;
    statistics *sums; /* of the first so many, from none to all; grows */
    matrix *kept;     /* [count][width], or NULL */
    moments *half; /* [2] of pictures of even and of odd number, or NULL; `kept` then has those of
                         even number first. For runs that begin with none. */
    int (*after)(void *user, size_t done); /* after each shard; not 0 ends with that value */
    void *user;
} gathering;

/* What is in `sums` already was gathered here, and `kept` has its rows: E_COMBINATION if not. */
dfl_status gather_check(const gathering *g, const char *path);
dfl_status gather_shards(const gathering *g);

#endif
