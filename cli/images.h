/* What commands over images of data share ("likelihood", "times"): a model, its data, a bar, and a run
   that goes on from FILE.part when the same command is given again. */
#ifndef CLI_IMAGES_H
#define CLI_IMAGES_H

#include "cli.h"
#include "eval/likelihood.h"
#include "progress.h"

typedef struct {
    const args *args;
    const char *output; /* -o, or NULL: nothing to go on from */
    text spec, part;    /* options of the study; OUTPUT.part */
    dfl_model *model;
    likelihood_data data;
    progress bar;
    bool quiet;
    double began, saved; /* seconds_now() */
} images;

/* --output, whose folder must be there, and --quiet. */
dfl_status images_outputs(images *m);
/* `words` of the command line into the specification; --labels and --class contradict each other. */
dfl_status images_spec(images *m, const char *const *words, size_t n);

/* --first, --count, --batch; 0 where it is not given. */
size_t images_number(const images *m, const char *option);
bool images_may_resume(const images *m);

/* Whether it is time to save what is done, some ten seconds after the last. */
bool images_save_due(images *m);
/* The sentence for an interrupted run of which `done` of `count` images were kept. */
dfl_status images_interrupted(const images *m, size_t done, size_t count);
/* The output is written: OUTPUT.part goes. */
dfl_status images_forget(const images *m);

/* The beginning of a record: format, arguments, model, data. */
dfl_status images_record(const images *m, const char *format, size_t first, size_t count,
                         text *out);

/* Runs the stages of such a command, frees all, and tells what failed; the exit code. In between,
   the model (operand 0) and its data (operand 1, --labels, --class) are opened. */
typedef struct {
    dfl_status (*spec)(void *work);    /* outputs and specification, from the arguments */
    dfl_status (*prepare)(void *work); /* the model, before its data; or NULL */
    dfl_status (*compute)(void *work); /* the study, from model and data to its end */
    dfl_status (*finish)(void *work);  /* its results, whose failures have code `finish_code` */
    void (*free)(void *work);          /* what is the command's own */
    int finish_code;
} images_stages;
int images_run(images *m, const images_stages *s, void *work);

#endif
