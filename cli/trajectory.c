/* Keeping the states of a run. */
#include "trajectory.h"

#include <stdlib.h>
#include <string.h>

dfl_status trajectory_open(trajectory *k, size_t steps, size_t count, size_t row, uint64_t first) {
    *k = (trajectory){.steps = steps, .count = count, .row = row, .first = first};
    k->states = mem_array(mem_product(steps + 1, count, 1), row);
    k->t = mem_array(steps + 1, sizeof *k->t);
    if (k->states && k->t) return DFL_OK;
    return fail(DFL_E_MEMORY,
                "a trajectory of %zu states of %zu samples does not fit in memory; ask for fewer "
                "samples",
                steps + 1, count);
}

void trajectory_add(trajectory *k, size_t step, double t, uint64_t first, size_t count,
                    const void *state) {
    if (!k->states || step > k->steps) return;
    const size_t at = (size_t)(first - k->first);
    memcpy(k->states + (step * k->count + at) * k->row, state, count * k->row);
    k->t[step] = t;
}

dfl_status trajectory_write(const trajectory *k, const char *path, const card *c, array_type type,
                            int components) {
    named_array arrays[2] = {{.name = "states"}, {.name = "t"}};
    array *s = &arrays[0].value;
    s->type = type;
    s->data = k->states;
    s->shape[s->rank++] = k->steps + 1;
    s->shape[s->rank++] = k->count;
    if (components == 2) s->shape[s->rank++] = 2;
    if (s->rank + c->rank > ARRAY_RANK_MAX)
        return fail(DFL_E_COMBINATION, "%s: a trajectory of samples with %d axes has too many axes",
                    path, c->rank);
    for (int i = 0; i < c->rank; i++) s->shape[s->rank++] = c->shape[i];
    arrays[1].value = (array){ARRAY_F64, 1, {k->steps + 1}, k->t};
    return npz_write(path, arrays, 2);
}

void trajectory_free(trajectory *k) {
    free(k->states);
    free(k->t);
    *k = (trajectory){0};
}
