/* Slots: memory for values. One walk over the rows; a value's slot is free after its last use. */
#include "plan/plan.h"

#include <stdlib.h>

typedef struct {
    size_t *last; /* [nvalues] last row that reads the value; nrows if it is an output */
    bool *busy;   /* [PLAN_SLOTS_MAX] */
    size_t used;  /* slots ever given out */
} allocator;

static dfl_status take(allocator *a, int *slot) {
    for (size_t s = 0; s < PLAN_SLOTS_MAX; s++) {
        if (a->busy[s]) continue;
        a->busy[s] = true;
        *slot = (int)s;
        if (s + 1 > a->used) a->used = s + 1;
        return DFL_OK;
    }
    return fail(DFL_E_RANGE, "the plan keeps more than %d values alive at once", PLAN_SLOTS_MAX);
}

static void find_last_uses(const program *code, size_t *last) {
    for (size_t i = 0; i < code->nrows; i++)
        for (size_t j = 0; j < code->rows[i].nsrc; j++)
            last[code->terms[code->rows[i].src + j].v] = i;
    for (size_t i = 0; i < code->noutputs; i++) last[code->outputs[i]] = code->nrows;
}

static void free_dying(const dfl_plan *plan, allocator *a, size_t i) {
    const row *r = &plan->code.rows[i];
    for (size_t j = 0; j < r->nsrc; j++) {
        const val v = plan->code.terms[r->src + j].v;
        if (a->last[v] == i) a->busy[plan->slot[v]] = false;
    }
}

static dfl_status walk(dfl_plan *plan, allocator *a) {
    const program *code = &plan->code;
    for (size_t i = 0; i < code->ninputs; i++) TRY(take(a, &plan->slot[code->inputs[i].id]));
    for (size_t i = 0; i < code->nrows; i++) {
        const row *r = &code->rows[i];
        const bool in_place = r->op != ROW_EVAL; /* a network must not overwrite its input */
        if (in_place) free_dying(plan, a, i);
        if (r->dst >= 0) TRY(take(a, &plan->slot[r->dst]));
        if (!in_place) free_dying(plan, a, i);
    }
    return DFL_OK;
}

dfl_status plan_allocate(dfl_plan *plan) {
    const size_t n = plan->code.nvalues;
    allocator a = {mem_array(n, sizeof *a.last), mem_array(PLAN_SLOTS_MAX, sizeof *a.busy), 0};
    plan->slot = mem_array(n, sizeof *plan->slot);
    dfl_status status = a.last && a.busy && plan->slot ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        find_last_uses(&plan->code, a.last);
        status = walk(plan, &a);
        plan->nslots = a.used;
    }
    free(a.last);
    free(a.busy);
    return status;
}
