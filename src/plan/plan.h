/* Plans: programs that have been accepted, with slots given out and everything counted. Immutable.
 *
 *   spec ─▶ plan_compile ─▶ program ─▶ plan_finish (plan_verify, plan_allocate) ─▶ plan
 *   JSON ─▶ plan_parse   ─▶ program ─▶ the same
 */
#ifndef DFL_PLAN_H
#define DFL_PLAN_H

#include "solver/rows.h"

/* Limits of what a plan may be; a plan from a file is a stranger's program. */
enum {
    PLAN_ROWS_MAX = 1 << 20,
    PLAN_SOURCES_MAX = 64,
    PLAN_LISTS_MAX = 64, /* inputs, outputs, names */
    PLAN_KERNELS_MAX = 4096,
    PLAN_SLOTS_MAX = 1024,
    PLAN_MIX_MAX = 4096 /* components of a kernel */
};
#define PLAN_TABLE_MAX ((size_t)1 << 24) /* numbers in all tables of a plan */
#define PLAN_TEXT_MAX  ((size_t)1 << 28) /* bytes of JSON */
#define PLAN_DRAWS_MAX (1u << 28)

/* Text about where a plan came from, NULL where that is not known; the executor reads none of it.
   `model`: digest of the network that a plan was fitted to (model_digest), for none but that one;
   `identity`: the same with its guidance (model_identify). */
typedef struct {
    char *solver, *grid, *process, *network, *version;
    char *model, *identity, *teacher, *fit, *held_out, *held_out_rms, *command;
} plan_meta;

enum { PLAN_META = 12 };
/* Text number i of them, and its key in JSON. */
char **plan_meta_at(plan_meta *meta, int i, const char **key);

struct dfl_plan {
    program code;
    plan_meta meta;
    text warnings; /* of compiling or reading: one line each */
    size_t nfe, steps, draws, picks;
    int *slot; /* [nvalues] */
    size_t nslots;
    int widest; /* components of the widest value: a slot holds that many halves */
};

/* What a plan is compiled for: the facts of a model card. */
typedef struct {
    const char *process; /* option text */
    netform form;
    double t_min, t_max;
    const char *sampler, *sampler_differs; /* of the card, NULL: none */
    size_t dim;                            /* numbers of a sample; 0: not known */
    const char *digest;                    /* sha256 of the network; NULL: not known */
    const char *folder, *network;          /* paths of the model's folder and network; NULL: none */
} plan_source;

/* Spec as in dfl_plan_new. */
dfl_status plan_compile(const char *spec, const plan_source *source, dfl_plan **out);

/* Takes the program over, also on failure; meta and warnings are left to the caller to fill in. */
dfl_status plan_finish(program *code, dfl_plan **out);
void plan_free(dfl_plan *plan);

/* Accepts a program or says what is wrong with it: values written before they are read, shapes,
   ranges, finite numbers, limits, unique draws, nothing unused. */
dfl_status plan_verify(const program *code);

/* Gives out slots: a slot is free again after the last use of its value; every row but EVAL may
   write the slot of a source that dies in it. */
dfl_status plan_allocate(dfl_plan *plan);

dfl_status plan_parse(const char *json, size_t length, dfl_plan **out);
void plan_write(const dfl_plan *plan, text *out);
void plan_print(const dfl_plan *plan, text *out);

extern const char *const plan_ops[ROW_KINDS]; /* "EVAL", ... */
extern const char plan_laws[], plan_covariances[];

extern const opt_row plan_options[]; /* the outer level of a spec */

#endif
