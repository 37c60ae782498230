/* "driftless plan --predict": errors of plans for Gaussian data, and solvers ranked by them. */
#ifndef CLI_PREDICT_H
#define CLI_PREDICT_H

#include "eval/forecast.h"
#include "options.h"

/* Rows of the option table. */
/* clang-format off */
#define PREDICT_ROWS                                                                               \
    {0, "predict", NULL, "FILE", NULL,                                                             \
     "predict the error for Gaussian data of these moments (.npz), or of the word card: its mean " \
     "and std", ARG_FILE, 0, 0},                                                                   \
    {0, "solvers", NULL, "LIST", NULL,                                                             \
     "with --predict: solvers to rank, apart by blanks; all: every deterministic one", ARG_TEXT,   \
     0, 0},                                                                                        \
    {0, "grids", NULL, "LIST", "usual",                                                            \
     "with --predict: time grids for each of them, apart by blanks; usual: what a solver is "      \
     "mostly run on", ARG_TEXT, 0, 0},                                                             \
    {0, "rank-by", NULL, "flow|data", "flow; data if a plan draws noise",                                                      \
     "with --predict: by the distance to the exact flow from the same start, or to the data's law",\
     ARG_CHOICE, 0, 0}
/* clang-format on */

/* One plan and what is predicted of it. */
typedef struct {
    const char *solver, *grid; /* as asked for; borrowed */
    int budget;                /* as asked for; 0: none */
    size_t order;              /* in which it was asked for */
    size_t steps, nfe;
    forecast is;
    char *refused; /* why there is no prediction; NULL: there is one */
} ranked;

typedef struct {
    ranked *cell;
    size_t n, cap;
} ranking;

/* Best first within a budget; those without the number it goes by come after, then the refused. */
void ranking_sort(ranking *r, bool by_flow);
bool ranking_has_flow(const ranking *r); /* of every plan that was predicted */
void ranking_print(const ranking *r, text *out);
void ranking_json(const ranking *r, text *out); /* the member "plans" */
void ranking_free(ranking *r);

/* What solvers are usually run on; ends in a row of NULL. */
typedef struct {
    const char *solver, *grid;
} usual_pair;
extern const usual_pair usual_scalar[], usual_phase[];
/* The usual grid of a solver's option text. */
const char *usual_grid(const char *solver, int components);

/* E_ARG where --nfe holds what is no budget, or several. */
dfl_status budgets_check(const args *a);
/* E_ARG where options of ranking stand without --predict. */
dfl_status refuse_ranking(const args *a);

/* The whole command; the exit code. */
int run_predict(const args *a);

#endif
