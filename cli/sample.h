/* One run of "driftless sample": what was asked, what was made, how long it took. */
#ifndef CLI_SAMPLE_H
#define CLI_SAMPLE_H

#include <jansson.h>

#include "cli.h"
#include "output.h"
#include "progress.h"
#include "replay.h"
#include "trajectory.h"

enum { TIME_OPEN, TIME_PLAN, TIME_SAMPLE, TIME_WRITE, TIMES };
enum { PICTURE_TEXTS = 3 };      /* text entries of a .png */
enum { ADAPTIVE_SHARES = 1000 }; /* parts of a sample's way that progress counts */

typedef struct {
    const args *args;
    const char *where, *output; /* model and output path as given */
    uint64_t seed, first;
    size_t count, chunk; /* samples in all, and per call */
    int dtype;
    array_type type;
    bool labelled; /* --class was given, as `label` */
    int64_t label;
    dfl_model *model;
    text spec; /* what the plan was made from; empty for a plan that was read */
    text file; /* that plan's file; else empty */
    dfl_plan *plan;
    char *plan_text; /* its JSON */
    json_t *meta;    /* its "meta" object, or NULL */
    dfl_run *run;
    bool adaptive; /* no plan and no run, but: */
    dfl_ode *ode;
    size_t *nfe;  /* [chunk] */
    double *done; /* [chunk] share of its way each sample has gone */
    size_t drawn; /* samples of the run before this chunk */
    size_t nfe_min, nfe_max, nfe_sum;
    array init;
    noise_source noise;
    trajectory track;
    sink *sink;
    int64_t *labels; /* [chunk] or NULL */
    void *samples;   /* [chunk][dim] */
    text software;
    const char *picture_texts[PICTURE_TEXTS];
    progress bar;
    double began, seconds[TIMES];
} job;

/* An option's text as typed, NULL if not given; and its number, or a fallback. */
const char *job_text(const job *j, const char *name);
long long job_int(const job *j, const char *name, long long fallback);

/* Stages: sets up the run and all outputs; draws all samples into the sink. */
dfl_status job_prepare(job *j);
dfl_status job_draw(job *j);

/* adaptive.c: the same for an adaptive solver: what cannot stand beside it; its set-up; n samples
   from number `done` on; the mean of evaluations per sample; its part of record and summary. */
dfl_status adaptive_refuse(const args *a);
dfl_status adaptive_open(job *j, const char *options);
dfl_status adaptive_reserve(job *j, size_t held);
dfl_status adaptive_draw(job *j, size_t done, size_t n, const void *start);
double adaptive_mean_nfe(const job *j);
json_t *adaptive_record(const job *j);
dfl_status adaptive_summary(const job *j, text *out);

/* Components of a state, evaluated per plan or integrator; seconds spent in the model. */
int job_components(const job *j);
double job_model_seconds(const job *j);

/* start.c: what is known of the mismatch, on standard error, and its part of the record. */
dfl_status start_tell(job *j);
dfl_status start_record(const job *j, json_t **out);

/* "images" or "samples". */
const char *job_noun(const job *j);

/* A text of the plan's meta object, or NULL. */
const char *job_meta(const job *j, const char *key);

/* The run record as JSON, to be freed. */
dfl_status record_make(const job *j, char **out);

/* The lines that are printed after success. */
dfl_status summary_make(const job *j, text *out);

#endif
