/* Published ratios: an array of an .npz becomes a file of statistics without a model. */
#include <math.h>
#include <stdlib.h>

#include "io/io.h"
#include "study/stats.h"
#include "study/sums.h"

enum { IMPORT_BYTES_MAX = 1 << 24 };

static dfl_status take_array(const array *a, const char *npz, double **out) {
    const size_t n = array_count(a);
    if (!array_is_real(a) || a->rank != 1 || n < 2 || n > STATS_TIMES_MAX)
        return fail(DFL_E_FORMAT, "%s: the ratios must be one row of 2 to %d real numbers", npz,
                    STATS_TIMES_MAX);
    *out = mem_array(n, sizeof **out);
    if (!*out) return fail_memory();
    for (size_t i = 0; i < n; i++) {
        (*out)[i] = array_real(a, i);
        if (!((*out)[i] > 0 && isfinite((*out)[i])))
            return fail(DFL_E_RANGE, "%s: ratio %zu is %g; all must be above 0", npz, i, (*out)[i]);
    }
    return DFL_OK;
}

dfl_status stats_import(const char *npz, const char *name, const char *path) {
    text member = {0}, out = {0};
    array a = {0};
    double *ratio = NULL;
    text_add(&member, "%s_ratio_by_t", name);
    dfl_status status = member.failed ? fail_memory() : DFL_OK;
    if (status == DFL_OK) {
        const char *const names[] = {member.data};
        status = npz_read(npz, names, 1, false, IMPORT_BYTES_MAX, &a);
    }
    if (status == DFL_OK) status = take_array(&a, npz, &ratio);
    if (status == DFL_OK) {
        stats_head(&out, name, "");
        stats_reals(&out, "mean_abs_eps", ratio, array_count(&a));
        status = stats_finish(path, &out);
    }
    free(ratio);
    array_free(&a);
    text_free(&member);
    text_free(&out);
    return status;
}
