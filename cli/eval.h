/* One run of "driftless eval": what was asked, the two sides, what was found. */
#ifndef CLI_EVAL_H
#define CLI_EVAL_H

#include "cli.h"
#include "eval/compare.h"
#include "eval/gather.h"
#include "progress.h"

/* One side of the comparison and what it was gathered from. */
typedef struct {
    picture_source *pictures;
    feature_source *features;
    statistics sums;
    matrix *kept;
    moments half[2];
    gaussian foreign; /* mu and sigma alone, of a file of anyone's */
    const char *path;
    side result; /* borrows from the above, but for its own Gaussians */
} evaluated;

typedef struct {
    const args *args;
    const char *generated, *reference; /* reference NULL: none */
    unsigned wanted;                   /* bits of metrics */
    bool chosen;                       /* by name, so that each of them must be had */
    double range[2];
    extractor *extractor;
    dfl_model *model;
    dfl_plan *plan;
    text part, matrix_path; /* where an interrupted run stands */
    evaluated made, real;
    progress bar;
    double saved, saving; /* when the last checkpoint was written, how long that took */
    size_t begun, shown;  /* pictures there at the start; on the bar */
    int code;             /* of what failed, where its status does not say it; else 0 */
    bool finished;        /* outputs have their names */
    metric_list list;
    text notes; /* lines about what a reader should know */
    double seconds;
} eval_job;

/* eval_run.c: gathers both sides and compares them. */
dfl_status eval_open(eval_job *j);
dfl_status eval_gather(eval_job *j);
dfl_status eval_compare(eval_job *j);
dfl_status eval_finish(eval_job *j);
void eval_close(eval_job *j);

/* eval_choose.c: metrics that cannot be had are refused if they were asked for, else a note tells why. */
bool eval_wants(const eval_job *j, int metric);
dfl_status eval_choose(eval_job *j);

/* eval_report.c */
dfl_status eval_notes(eval_job *j);
dfl_status eval_page(const eval_job *j, text *out);
dfl_status eval_record(const eval_job *j, text *out);

#endif
