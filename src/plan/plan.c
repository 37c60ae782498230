/* Life of a plan, its counts, and the names of its parts. */
#include "plan/plan.h"

#include <stdlib.h>

const char *const plan_ops[ROW_KINDS] = {"EVAL", "LIN",   "NOISE", "STEP",  "MIX",
                                         "CLIP", "LIMIT", "GIVEN", "SELECT"};
const char plan_laws[] = "data|rand|rand_c|ortho";
const char plan_covariances[] = "diag|vub|full|rank1";

char **plan_meta_at(plan_meta *meta, int i, const char **key) {
    static const struct {
        const char *key;
        size_t at;
    } fields[PLAN_META] = {
        {"solver", offsetof(plan_meta, solver)},
        {"grid", offsetof(plan_meta, grid)},
        {"process", offsetof(plan_meta, process)},
        {"network", offsetof(plan_meta, network)},
        {"version", offsetof(plan_meta, version)},
        {"model", offsetof(plan_meta, model)},
        {"identity", offsetof(plan_meta, identity)},
        {"teacher", offsetof(plan_meta, teacher)},
        {"fit", offsetof(plan_meta, fit)},
        {"held_out", offsetof(plan_meta, held_out)},
        {"held_out_rms", offsetof(plan_meta, held_out_rms)},
        {"command", offsetof(plan_meta, command)},
    };
    *key = fields[i].key;
    return (char **)((char *)meta + fields[i].at);
}

static void count(dfl_plan *plan) {
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row_op op = plan->code.rows[i].op;
        plan->nfe += op == ROW_EVAL;
        plan->steps += op == ROW_STEP;
        plan->draws += op == ROW_NOISE;
        plan->picks += op == ROW_MIX;
    }
    plan->widest = 1;
    for (size_t i = 0; i < plan->code.nvalues; i++)
        if (plan->code.comp[i] > plan->widest) plan->widest = plan->code.comp[i];
}

dfl_status plan_finish(program *code, dfl_plan **out) {
    *out = NULL;
    dfl_plan *plan = mem_array(1, sizeof *plan);
    if (!plan) {
        program_free(code);
        return fail_memory();
    }
    plan->code = *code;
    *code = (program){0};
    dfl_status status = plan_verify(&plan->code);
    if (status == DFL_OK) {
        count(plan);
        status = plan_allocate(plan);
    }
    if (status != DFL_OK) {
        plan_free(plan);
        return status;
    }
    *out = plan;
    return DFL_OK;
}

void plan_free(dfl_plan *plan) {
    if (!plan) return;
    program_free(&plan->code);
    const char *key;
    for (int i = 0; i < PLAN_META; i++) free(*plan_meta_at(&plan->meta, i, &key));
    text_free(&plan->warnings);
    free(plan->slot);
    free(plan);
}

void dfl_plan_free(dfl_plan *plan) {
    plan_free(plan);
}

dfl_status dfl_plan_from_json(const char *json, size_t length, dfl_plan **out) {
    if (out) *out = NULL;
    if (!json || !out) return fail(DFL_E_ARG, "dfl_plan_from_json: text and out must not be NULL");
    return plan_parse(json, length, out);
}

dfl_status dfl_plan_to_json(const dfl_plan *plan, char *buf, size_t cap, size_t *need) {
    if (!plan) return fail(DFL_E_ARG, "dfl_plan_to_json: plan is NULL");
    text out = {0};
    plan_write(plan, &out);
    return text_result(&out, buf, cap, need);
}

dfl_status dfl_plan_to_text(const dfl_plan *plan, char *buf, size_t cap, size_t *need) {
    if (!plan) return fail(DFL_E_ARG, "dfl_plan_to_text: plan is NULL");
    text out = {0};
    plan_print(plan, &out);
    return text_result(&out, buf, cap, need);
}

size_t dfl_plan_nfe(const dfl_plan *plan) {
    return plan->nfe;
}

size_t dfl_plan_steps(const dfl_plan *plan) {
    return plan->steps;
}

size_t dfl_plan_draws(const dfl_plan *plan) {
    return plan->draws;
}

size_t dfl_plan_slots(const dfl_plan *plan) {
    return plan->nslots;
}

int dfl_plan_components(const dfl_plan *plan) {
    return plan->code.components;
}

dfl_status dfl_plan_warnings(const dfl_plan *plan, char *buf, size_t cap, size_t *need) {
    if (!plan) return fail(DFL_E_ARG, "dfl_plan_warnings: plan is NULL");
    text out = {0};
    text_add(&out, "%s", plan->warnings.len ? plan->warnings.data : "");
    return text_result(&out, buf, cap, need);
}
