/* What the table-driven tests iterate over: every row of the registries with every variant of its
   options, the networks a plan may be made for, and the plans themselves. */
#ifndef DFL_TEST_CASES_H
#define DFL_TEST_CASES_H

#include "check.h"

#include "grid/grid.h"
#include "plan/plan.h"
#include "solver/solver.h"

enum { SPEC_SIZE = 160 };

typedef struct {
    char (*spec)[SPEC_SIZE]; /* [n] option text */
    size_t n;
} spec_list;

/* Every row of a family times every variant of its options: each choice, each yes or no; with
   `numbers` also each value of a short whole range, the ends of a longer one, and minimum, middle
   and maximum of real ones, or default and middle where the range is wide. */
spec_list specs_of(const family *f, bool numbers);
/* Those that work on one component. Of a solver's variants, those that make no difference there
   (options of phase space, defaults under two names) are left out: their plans are equal. Where the
   environment has SOLVERS_EVERY=3, say, the first variant of each solver is taken and every third. */
spec_list scalar_processes(void);
spec_list scalar_solvers(void);
void specs_free(spec_list *list);

/* A grid's option text; one that brings its own times gets `steps` uneven steps, in a file that
   the next call overwrites if need be. */
void grid_spec(const family_row *grid, double start, double end, int steps, char *out, size_t cap);

typedef struct {
    const char *name;
    netform form;
} network;

/* Every prediction type, plain and preconditioned; the first predicts epsilon. */
extern const network networks[];
extern const size_t nnetworks;

/* A plan to compile. Zeroed fields: epsilon network, the reference grid, the reference end. */
typedef struct {
    const char *process, *solver, *grid;
    const netform *form;
    int steps;
    double start; /* 0: case_start() */
    bool to_zero, denoise;
} plan_case;

/* The scalar processes that orders are measured on, by reference options: the defaults, and all
   variants. */
spec_list reference_processes(bool variants);
/* A case on the reference grid of such a process. */
plan_case reference_case(const char *process, const char *solver);

/* The smallest time a case ends at unless it goes to zero. */
double case_end(const process *p);
/* The largest time of a process that every network can answer at: its last one, or, where no signal
   is left there, the start of its reference. */
double case_start(const process *p);
dfl_status case_try(const plan_case *c, dfl_plan **plan);
/* Fails the test if the plan does not compile. */
dfl_plan *case_compile(const plan_case *c);
process *case_process(const plan_case *c);
solver_claims case_claims(const plan_case *c);
solver_claims claims_of(const char *solver, const process *p); /* solver as option text */
const solver_row *case_solver(const plan_case *c);
/* "solver x process x grid ..." for messages; a static buffer. */
const char *case_name(const plan_case *c);
const char *case_network(const plan_case *c);

/* The times, label and prediction of an EVAL row at time t. */
row eval_at(const process *p, const netform *form, double t);

/* What is wrong with an EVAL row's time, network time, label or prediction, given its t; NULL if
   nothing is. Looks for times that disagree with each other, not for times that are wrong. */
const char *evals_wrong(const dfl_plan *plan, const process *p, const netform *form);

/* Calls visit for every scalar solver x process x grid, each to its usual end and, where the grid
   allows it, to t = 0. A third of them is taken, above ALL_STEPS steps a ninth, with every pair of
   solver and process, solver and grid, process and grid among them. */
enum { ALL_STEPS = 5 };
void for_each_case(int steps, void (*visit)(const plan_case *c, void *user), void *user);

#endif
