/* The table of predictions, and the solvers with the grids that they are usually run on. */
#include "predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define POWER  "power:kappa=2"
#define LOGSNR "logsnr"

/* As the papers and programs that they come from have them; scripts/solver_table.py measures the same
   pairs. */
const usual_pair usual_scalar[] = {
    {"ddim", POWER},
    {"ddim", "uniform"},
    {"euler:variable=t", "uniform"},
    {"heun", "karras"},
    {"deis:order=1", POWER},
    {"deis:order=2", POWER},
    {"deis:order=3", POWER},
    {"deis:order=4", POWER},
    {"deis:kind=rhoab,order=1", POWER},
    {"deis:kind=rhoab,order=2", POWER},
    {"deis:kind=rhoab,order=3", POWER},
    {"deis:kind=lograb,order=2", LOGSNR},
    {"deis:kind=lograb,order=3", LOGSNR},
    {"deis:kind=ipndm", "uniform"},
    {"deis:kind=ipndm", "karras"},
    {"deis_sn:order=2", POWER},
    {"deis_sn:order=3", POWER},
    {"rhork:tableau=2heun", POWER},
    {"rhork:tableau=3kutta", POWER},
    {"rhork:tableau=4rk", POWER},
    {"scire:variant=v1,order=2", "nsr"},
    {"scire:variant=v1,order=3", "nsr"},
    {"scire:variant=v1,order=3,stage=consistent", "nsr"},
    {"scire:variant=v1,order=2,difference=fd", "nsr"},
    {"scire:variant=v1,order=2,method=multistep,profile=main", "nsr"},
    {"scire:variant=v2,order=2", "nsr"},
    {"scire:variant=v2,order=3", "nsr"},
    {"scire:variant=v2,order=2,method=multistep,profile=main", "nsr"},
    {"scire:variant=ei,order=2", "nsr"},
    {"dpm:algorithm_type=dpmsolver,order=2,method=singlestep", LOGSNR},
    {"dpm:algorithm_type=dpmsolver,order=3,method=singlestep", LOGSNR},
    {"dpm:order=2,method=singlestep", LOGSNR},
    {"dpm:order=2,method=singlestep,solver_type=heun", LOGSNR},
    {"dpm:order=3,method=singlestep,solver_type=heun", LOGSNR},
    {"dpm:order=2", LOGSNR},
    {"dpm:order=2,solver_type=heun", LOGSNR},
    {"dpm:order=3", LOGSNR},
    {"dpm:order=3,corrected=1", LOGSNR},
    {"unipc:order=2,solver_type=bh1", LOGSNR},
    {"unipc:order=2", LOGSNR},
    {"unipc:order=3", LOGSNR},
    {"unipc:order=3", POWER},
    {"conjugate:type=1,lambda=0.1", POWER},
    {"conjugate:type=1,lambda=-0.1", POWER},
    {NULL, NULL},
};

const usual_pair usual_phase[] = {
    {"euler", POWER},
    {"heun", POWER},
    {"deis:order=1", POWER},
    {"deis:order=2", POWER},
    {"deis:order=3", POWER},
    {"deis:order=1,factor=flow", POWER},
    {"deis:order=2,factor=flow", POWER},
    {"deis:order=3,factor=flow", POWER},
    {"splitting:scheme=nse", POWER},
    {"splitting:scheme=rse", POWER},
    {"splitting:scheme=nvv", POWER},
    {"splitting:scheme=rvv", POWER},
    {"conjugate:type=1", POWER},
    {"conjugate:type=2", POWER},
    {"conjugate_splitting:scheme=cse", POWER},
    {"conjugate_splitting:scheme=cvv", POWER},
    {NULL, NULL},
};

/* That of the same text; else of the first with its name; else the default. */
const char *usual_grid(const char *solver, int components) {
    const usual_pair *pairs = components == 2 ? usual_phase : usual_scalar;
    const size_t name = strcspn(solver, ":");
    for (const usual_pair *u = pairs; u->solver; u++)
        if (strcmp(u->solver, solver) == 0) return u->grid;
    for (const usual_pair *u = pairs; u->solver; u++)
        if (strcspn(u->solver, ":") == name && strncmp(u->solver, solver, name) == 0)
            return u->grid;
    return POWER;
}

/* ---- order ----------------------------------------------------------------------------------- */

static double key_of(const ranked *c, bool by_flow) {
    if (c->refused) return INFINITY;
    return by_flow ? (c->is.has_flow ? c->is.flow : HUGE_VAL) : c->is.data;
}

/* Rank among cells: budget, refused or not, number or none, number; at last the order as asked. */
static int compare(const ranked *a, const ranked *b, bool by_flow) {
    if (a->budget != b->budget) return a->budget < b->budget ? -1 : 1;
    if (!a->refused != !b->refused) return a->refused ? 1 : -1;
    const double x = key_of(a, by_flow), y = key_of(b, by_flow);
    if (x != y) return x < y ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static int by_flow_key(const void *a, const void *b) {
    return compare(a, b, true);
}

static int by_data_key(const void *a, const void *b) {
    return compare(a, b, false);
}

void ranking_sort(ranking *r, bool by_flow) {
    if (r->n) qsort(r->cell, r->n, sizeof *r->cell, by_flow ? by_flow_key : by_data_key);
}

bool ranking_has_flow(const ranking *r) {
    for (size_t i = 0; i < r->n; i++)
        if (!r->cell[i].refused && !r->cell[i].is.has_flow) return false;
    return true;
}

/* ---- print ----------------------------------------------------------------------------------- */

static void print_cell(const ranked *c, text *out) {
    text_add(out, "%5zu  %9.3g  %9.3g  %9.3g  ", c->nfe, c->is.mean, c->is.spread, c->is.data);
    if (c->is.has_flow)
        text_add(out, "%9.3g", c->is.flow);
    else
        text_add(out, "%9s", "-");
    text_add(out, "  %s  %s\n", c->solver, c->grid);
}

void ranking_print(const ranking *r, text *out) {
    text_add(out, "  nfe       mean     spread       data       flow  solver  grid\n");
    for (size_t i = 0; i < r->n; i++) {
        if (i > 0 && r->cell[i].budget != r->cell[i - 1].budget) text_add(out, "\n");
        if (!r->cell[i].refused) print_cell(&r->cell[i], out);
    }
    for (size_t i = 0; i < r->n; i++) {
        const ranked *c = &r->cell[i];
        if (!c->refused) continue;
        text_add(out, "\nnot predicted: %s  %s", c->solver, c->grid);
        if (c->budget) text_add(out, "  nfe=%d", c->budget);
        text_add(out, ": %s\n", c->refused);
    }
}

static void add_cell(const ranked *c, text *out) {
    text_add(out, "{\"solver\": ");
    json_add_text(out, c->solver);
    text_add(out, ", \"grid\": ");
    json_add_text(out, c->grid);
    if (c->budget) text_add(out, ", \"budget\": %d", c->budget);
    if (c->refused) {
        text_add(out, ", \"refused\": ");
        json_add_text(out, c->refused);
    } else {
        text_add(out, ", \"steps\": %zu, \"nfe\": %zu", c->steps, c->nfe);
        json_add_next_real(out, "mean", c->is.mean);
        json_add_next_real(out, "spread", c->is.spread);
        json_add_next_real(out, "data", c->is.data);
        if (c->is.has_flow)
            json_add_next_real(out, "flow", c->is.flow);
        else
            text_add(out, ", \"flow\": null");
    }
    text_add(out, "}");
}

void ranking_json(const ranking *r, text *out) {
    for (size_t i = 0; i < r->n; i++) {
        text_add(out, "%s\n  ", i ? "," : "");
        add_cell(&r->cell[i], out);
    }
}

void ranking_free(ranking *r) {
    for (size_t i = 0; i < r->n; i++) free(r->cell[i].refused);
    free(r->cell);
    *r = (ranking){0};
}
