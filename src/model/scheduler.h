/* A scheduler's configuration while it is read: between the file that reads what the network was
   trained for and the one that reads how it was sampled. */
#ifndef DFL_SCHEDULER_H
#define DFL_SCHEDULER_H

#include "model/diffusers.h"

typedef enum { BETAS, EDM, VE, FLOW } kind;
/* Where the last step goes: clean data, the first entry of the table, or as a key says. */
typedef enum { END_ZERO, END_FIRST, END_ALPHA_ONE, END_ALPHA_FIRST, END_FINAL_SIGMAS } ending;

typedef enum {
    BY_NONE, /* no counterpart here */
    BY_DDIM,
    BY_DDPM,
    BY_PNDM,
    BY_DEIS,
    BY_DPM,
    BY_DPM_SINGLE,
    BY_UNIPC,
    BY_EULER,
    BY_ANCESTRAL,
    BY_HEUN,
    BY_LMS
} sampled_by;

typedef struct {
    const char *name;
    kind kind;
    double beta_start, beta_end;
    const char *spacing;
    bool endpoint, rounded; /* of its index grids */
    ending end;
    bool clips; /* default of clip_sample */
    sampled_by solver;
} scheduler_class;

typedef struct {
    json_in in;
    const scheduler_class *is;
    kind kind; /* use_flow_sigmas makes a flow of a table */
    long long length;
    text *differs; /* what of the published sampler is left out */
} config;

enum { LENGTH_MAX = 100000 };

/* Values by key, with the class's default where the key is missing or null. */
dfl_status config_real(const config *c, const char *key, double fallback, double *out);
dfl_status config_int(const config *c, const char *key, long long fallback, long long most,
                      long long *out);
dfl_status config_word(const config *c, const char *key, const char *fallback, const char **out);
bool config_flag(const config *c, const char *key, bool fallback);

/* The key is there and has this text; with NULL: it is true, or a number other than 0. */
bool config_at(const config *c, const char *key, const char *value);
dfl_status config_shift(const config *c, double *shift); /* of a flow's times */

/* Fails because of a value; notes what the sampler leaves out. */
dfl_status config_refuse(const config *c, const char *key, const char *value);
void config_differs(const config *c, const char *what);
bool word_is(const char *word, const char *other);
void scheduler_add_real(text *out, const char *before, double value); /* behind the text `before` */

/* The members "sampler" and "sampler_differs" of the card, each begun with ", ", if there are any. */
dfl_status scheduler_sampler(const config *c, text *out);

#endif
