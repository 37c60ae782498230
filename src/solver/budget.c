#include "solver/budget.h"

#include <stdlib.h>
#include <string.h>

#include "grid/grid.h"

int outer_grid_steps(int nfe, int p, bool fixed, bool last_first) {
    if (!fixed) return nfe;
    return last_first ? (nfe + p - 1) / p : nfe / p;
}

void outer_free(outer_steps *o) {
    free(o->order);
    free(o->t);
    *o = (outer_steps){0};
}

/* Orders that spend a budget: p as often as it fits, and for p = 3 a tail 2, 1 or 1 or 2. */
static int spend(int nfe, int p, int *order) {
    if (nfe == 0) return 0;
    int n = 0, full = nfe / p, rest = nfe % p;
    if (p == 3 && rest == 0) full--;
    for (int i = 0; i < full; i++) order[n++] = p;
    if (p == 3 && rest == 0) {
        order[n++] = 2;
        order[n++] = 1;
    } else if (rest)
        order[n++] = rest;
    return n;
}

/* Every sum(order)-th point of a grid with one step per evaluation; on logsnr, and so here on any
   grid without one, a fresh grid with as many steps as are taken. */
static dfl_status place(const problem *pb, outer_steps *o) {
    bool fresh;
    TRY(grid_is(pb->grid, "logsnr", &fresh));
    if (fresh) return grid_between(pb->process, pb->grid, pb->t[0], pb->t[pb->steps], o->n, o->t);
    int at = 0;
    o->t[0] = pb->t[0];
    for (int i = 0; i < o->n; i++) o->t[i + 1] = pb->t[at += o->order[i]];
    return DFL_OK;
}

dfl_status outer_new(const problem *pb, int p, bool fixed, bool last_first, outer_steps *out) {
    const bool agile = pb->nfe > 0 && !fixed;
    *out = (outer_steps){0, mem_array((size_t)pb->steps + 2, sizeof(int)),
                         mem_array((size_t)pb->steps + 2, sizeof(double))};
    if (!out->order || !out->t) return fail_memory();
    if (agile) {
        out->n = spend(pb->nfe - last_first, p, out->order);
        if (last_first) out->order[out->n++] = 1;
        return place(pb, out);
    }
    out->n = pb->steps;
    for (int i = 0; i < out->n; i++) out->order[i] = last_first && i == out->n - 1 ? 1 : p;
    memcpy(out->t, pb->t, ((size_t)pb->steps + 1) * sizeof(double));
    return DFL_OK;
}
