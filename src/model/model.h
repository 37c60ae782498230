/* Denoisers: "the network" behind one function. This layer sees base only. */
#ifndef DFL_MODEL_H
#define DFL_MODEL_H

#include "base/base.h"
#include "base/netform.h"

enum { CARD_RANK_MAX = 8, CARD_NAME = 128 };

/* A model card (model.json), read and checked. docs/model-card.md documents the keys. */
typedef struct card {
    char *name, *license, *data, *training; /* text, may be NULL */
    char *sampler;           /* how it was sampled, in the text of dfl_plan_new; may be NULL */
    char *sampler_differs;   /* what that leaves out, one sentence; may be NULL */
    char *folder;            /* where model.json lies; NULL for callbacks */
    char *network_file;      /* absolute path, inside the folder; NULL: none */
    char sha256[DIGEST_HEX]; /* "" if the card has none */
    char *input_sample, *input_time, *input_class, *output; /* graph names; NULL: first guess */
    char *input_tangent, *derivative; /* of a graph with tangents, whose card this is; else NULL */
    char *process;                    /* as option text: "vp_linear:beta_min=0.1,beta_max=20" */
    netform form;                     /* prediction type, time map, preconditioning */
    int time_rank;                    /* 0: scalar, 1: [batch] */
    double t_min, t_max;
    int components; /* of the state: 1, or 2 in phase space (channels of x, then of m) */
    size_t shape[CARD_RANK_MAX]; /* of one sample */
    int rank;
    double range[2];    /* of the values of a finished sample; range[0] < range[1] */
    int64_t classes;    /* 0: unconditional */
    int64_t null_class; /* -1: none */
    char **class_names; /* [classes] or NULL */
    bool has_moments;
    double mean, std; /* of the data, over samples and elements */
    /* The gradient graph of a classifier, as the card of a network by itself: its output is of the
       size of the state. Its classes are the card's, or its own where the card has none. */
    struct card *classifier;
    /* The network with its derivative along a tangent of the sample, likewise; NULL: none. */
    struct card *jvp;
    text warnings; /* unknown keys, one per line */
} card;

/* Reads a card from a folder (its model.json, or what diffusers left there) / from JSON text (`where`
   names it in messages). */
dfl_status card_read(const char *folder, card *out);
dfl_status card_parse(const char *where, const char *json, size_t length, card *out);
/* The classifier of a folder's card alone; E_COMBINATION where it has none. */
dfl_status card_read_classifier(const char *folder, card *out);
dfl_status card_read_jvp(const char *folder, card *out); /* likewise */
void card_free(card *c);
size_t card_dim(const card *c);
/* E_COMBINATION or E_RANGE if the card does not have such labels; NULL is fine. */
dfl_status card_check_labels(const card *c, const int64_t *labels, size_t count);
int card_output_components(const card *c); /* of the network's output: 1, or 2 for both halves */
/* The card as a jansson-written JSON object text appended to out. */
dfl_status card_print(const card *c, text *out);

/* Where a sample of a request stands, if not all of them stand at the same time. */
typedef struct {
    double t, tau;
    marginal at;
    netgives gives;
} request_point;

/* One evaluation (the public dfl_request). Everything is borrowed. */
struct dfl_request {
    size_t count, input_dim, output_dim;
    int dtype; /* DFL_FLOAT32 or DFL_FLOAT64, of both arrays */
    const void *input;
    void *output;
    double t, tau;
    marginal at;           /* the label of `input`, input scaling included */
    netgives gives;        /* what `output` is to be: cx x_0 + cn n */
    int components;        /* of the input: 1, or 2 in phase space (x half, then m half) */
    int output_components; /* 1 or 2; input_dim / components numbers each */
    uint64_t first;        /* sample i of the request has index first + i, unless: */
    const int64_t *labels; /* [count] or NULL */
    /* Adaptive integration only, and only for models with mixed_times; else NULL. */
    const request_point *each; /* [count]: in place of t, tau, at, gives */
    const uint64_t *samples;   /* [count]: indices, in place of first + i */
    /* Models with `tangents` only, else NULL: [count][input_dim], and what comes of it,
       [count][output_dim]: the derivative of the output as the input moves along the tangent. */
    const void *tangent;
    void *derivative;
};

/* The request as sample i sees it: its own time in t, tau, at and gives. */
dfl_request request_of(const dfl_request *rq, size_t i);

/* Number i of an array of the request's type. */
static inline double request_number(const dfl_request *rq, const void *numbers, size_t i) {
    if (rq->dtype == DFL_FLOAT64) return ((const double *)numbers)[i];
    return (double)((const float *)numbers)[i];
}

static inline void request_set_number(const dfl_request *rq, void *numbers, size_t i,
                                      double value) {
    if (rq->dtype == DFL_FLOAT64)
        ((double *)numbers)[i] = value;
    else
        ((float *)numbers)[i] = (float)value;
}

/* A denoiser. `eval` answers for all samples of the request, on the calling thread; returns 0 or
   the code to end the run with. An implementation embeds this as its first member. */
struct dfl_model {
    card card;
    int (*eval)(dfl_model *self, const dfl_request *rq);
    void (*free)(dfl_model *self); /* everything but the card and the block itself */
    void (*describe)(const dfl_model *self, text *out); /* `"key": value` JSON members, or NULL */
    int calls;                                          /* network calls per evaluation */
    bool mixed_times;           /* takes requests whose samples stand at different times */
    bool tangents;              /* takes requests with tangents; one component only */
    char identity[DIGEST_HEX];  /* of what answers, if that is no network file; else "" */
    bool card_only;             /* cannot evaluate: whoever owns the loop does */
    bool guided;                /* without a classifier; then: */
    double guidance;            /* its scale */
    double classifier_guidance; /* scale of a classifier's gradient; 0: none */
    char classifier_identity[DIGEST_HEX]; /* of the gradient's graph, if it is one; else "" */
    char *options;                        /* a folder's, as it was opened; else NULL */
    /* Makes the model's classifier, or NULL: it has none. The result answers a request with the
       gradient of log p(label | input), in the shape of the input; it may borrow from self. */
    dfl_status (*classifier)(dfl_model *self, dfl_model **out);
    /* Makes a model that answers the same with `tangents`, or NULL: there is none. */
    dfl_status (*jvp)(dfl_model *self, dfl_model **out);
};

/* Digest of what answers, whatever the guidance: the card's sha256 (checked when the model was
   opened), or that of the network file, mixture or callback's card. "" for a card without a
   network. */
dfl_status model_digest(const dfl_model *model, char hex[DIGEST_HEX]);
/* The same, guidance included: two scales are two models to tuning. */
dfl_status model_identify(const dfl_model *model, char hex[DIGEST_HEX]);

/* Digest of the card without its names and other texts: of how the network is asked, and what samples
   are. What a model made belongs to this as much as to the network; the classifier is in the identity. */
dfl_status model_card_digest(const dfl_model *model, char hex[DIGEST_HEX]);

/* Constructors. Options as in dfl_model_open. Each takes over the card, also on failure. */
dfl_status model_mixture(const char *path, dfl_model **out);
dfl_status model_openvino(card *c, const opts *o, dfl_model **out);
/* A function without a card of its own. */
dfl_status model_function(dfl_denoise_fn fn, void *user, dfl_model **out);
extern const opt_row model_options[];

#endif
