/* A report of what is odd about a model and a plan, and the checks that write it. */
#ifndef DFL_DOCTOR_H
#define DFL_DOCTOR_H

#include "model/model.h"
#include "plan/plan.h"
#include "run/start.h"

typedef enum {
    CHECK_MODEL,      /* it opens: card, graph, time type and rank agree */
    CHECK_CARD,       /* nothing in the card is unknown */
    CHECK_PLAN,       /* the plan compiles: times fall, no step without length */
    CHECK_TIMES,      /* no two evaluations at times that are one to the network */
    CHECK_STEPS,      /* no step or evaluation that is wasted */
    CHECK_START,      /* what of the data is left at the start, against the prior */
    CHECK_END,        /* what of the noise is left at the end */
    CHECK_OUTPUT,     /* the network's output is finite */
    CHECK_TIME_INPUT, /* and depends on the time, */
    CHECK_BATCH,      /* not on the other samples, */
    CHECK_CLASSES,    /* and on the class */
    CHECK_PREDICTION, /* is what prediction_type says, and of its size */
    CHECK_RANGE,      /* samples have the card's range */
    CHECKS
} check;

typedef struct {
    check check;
    int severity; /* DFL_NOTE and so on */
    char *what, *fix;
} finding;

struct dfl_doctor {
    char *where;
    dfl_model *model; /* NULL: does not open */
    dfl_plan *plan;   /* NULL: does not compile */
    size_t budget;    /* of evaluations, as asked; 0: none */
    bool ran[CHECKS];
    finding *findings;
    size_t n, cap;
    /* Numbers of the report; NAN: not known. The first two are of the start: |a| in the unit of the
       prior's noise, and Kullback-Leibler divergence from the prior for each number. */
    double start_signal, start_divergence, end_noise;
    double sample_min, sample_max;
    double clean_slope, noise_slope; /* of truth on prediction, farthest from 1 */
};

/* Formats a finding, "what" and "fix" apart by a line end. Out of memory: E_MEMORY. */
__attribute__((format(printf, 4, 5))) dfl_status doctor_find(dfl_doctor *d, check c, int severity,
                                                             const char *format, ...);

/* What can be told from card and plan, and what takes a few evaluations. A network that fails is a
   finding; only lack of memory and our own mistakes are failures. Without a model the plan alone is
   looked at: its steps. */
dfl_status doctor_check_plan(dfl_doctor *d);
dfl_status doctor_check_network(dfl_doctor *d);

/* The same as lines, errors among the warnings, without the plan's own warnings, which it can tell
   itself. `model` needs no more than a card, and may be NULL; budget of evaluations, 0: none. */
typedef struct {
    text warnings, notes;
} doctor_lines;
dfl_status doctor_of_plan(dfl_model *model, dfl_plan *plan, size_t budget, doctor_lines *out);
void doctor_lines_free(doctor_lines *lines);

extern const char *const doctor_checks[CHECKS]; /* "model", ... */

#endif
