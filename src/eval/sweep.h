/* A sweep: many solvers (and rivals' programs) at many budgets and seeds, from the same starts and
   labels, held against one reference. A folder keeps it:
 *
 *   sweep.json              what is measured; another sweep in the folder is refused
 *   capsules/CELL.json      one for each finished cell: the truth, which all tables are made from
 *   features/CELL.npy       features of its samples, float32 [n][d]; reference.npy those of the reference
 *   samples/CELL.png        its first samples
 *   cells.csv, comparisons.csv, plot.svg, plot.png, report.html */
#ifndef DFL_SWEEP_H
#define DFL_SWEEP_H

#include <jansson.h>

#include "eval/extractor.h"
#include "eval/resample.h"
#include "model/model.h"

enum {
    SWEEP_WAYS_MAX = 64,
    SWEEP_BUDGETS_MAX = 64,
    SWEEP_SEEDS_MAX = 64,
    SWEEP_SAMPLES_MAX = 1 << 20,
    SWEEP_NFE_MAX = 100000,
    SWEEP_NAME = 96, /* of a cell */
    SWEEP_NOTE = 400,
    SWEEP_SHOWN = 24 /* pictures of a cell that are kept */
};

/* A solver on a grid, or a rival's program. */
typedef struct {
    char *label;         /* "deis:order=3@power:kappa=2"; of a peer, its name */
    char *solver, *grid; /* NULL: a peer */
    char **argv;         /* its program and arguments, ends in NULL; NULL: no peer */
    bool wanted;         /* asked for now; else the folder has it from before */
} sweep_way;

/* A way at a budget: its plan, or why there is none. */
typedef struct {
    size_t way;
    int nfe; /* the budget */
    bool wanted;
    dfl_plan *plan; /* NULL: a peer's, not wanted, or refused: */
    char note[SWEEP_NOTE];
} sweep_point;

typedef struct {
    double fid, kid, kid_error;    /* NaN where not known */
    size_t spent, calls;           /* evaluations and network calls per sample */
    double seconds, model_seconds; /* of drawing; NaN: not known */
    char features[DIGEST_HEX];     /* of the .npy */
    char note[SWEEP_NOTE];         /* "" or why there is no number */
} sweep_result;

typedef struct {
    size_t point;
    uint64_t seed;
    char name[SWEEP_NAME];
    bool wanted, done;
    sweep_result result;
} sweep_cell;

/* What stays the same for all cells, and is what the folder belongs to. */
typedef struct {
    char model[DIGEST_HEX], card[DIGEST_HEX], extractor[DIGEST_HEX], reference[DIGEST_HEX];
    size_t samples, reference_count;
    bool labelled;
    int64_t label;    /* of all samples; else sample i has i mod classes */
    const char *tail; /* keys of every plan's text: " process=... t_end=..." */
} sweep_frame;

typedef struct sweep {
    const char *folder; /* NULL: nothing is kept (a rerun) */
    const char *model_where, *extractor_where, *reference_where, *command;
    dfl_model *model;
    extractor *extractor;
    sweep_frame frame;
    sweep_way way[SWEEP_WAYS_MAX];
    int nfe[SWEEP_BUDGETS_MAX];
    bool nfe_wanted[SWEEP_BUDGETS_MAX];
    uint64_t seed[SWEEP_SEEDS_MAX];
    size_t nways, nbudgets, nseeds;
    sweep_point *point; /* [nways nbudgets], by way, then by budget */
    sweep_cell *cell;   /* [npoints nseeds], by budget, way, seed: the order they are drawn in */
    size_t npoints, ncells;
    gaussian_root real; /* of the reference */
    float *reference;   /* [reference_count][d], or NULL: only moments are known */
    double floor;       /* distance of as many real pictures to the others; NaN: not known */
    size_t replicates;
    /* Evaluations, or in sweep_compare() replicates, since the last call; not 0 ends the work. */
    int (*watch)(void *user, size_t done);
    void *user;
} sweep;

/* ---- sweep.c: what there is to draw ----------------------------------------------------------- */

/* "SOLVER[@GRID] SOLVER ...", apart by blanks outside quotes. E_ARG. */
dfl_status sweep_add_ways(sweep *s, const char *list, const char *grid);
/* "NAME=PROGRAM ARGS ..." */
dfl_status sweep_add_peer(sweep *s, const char *text);
dfl_status sweep_add_way(sweep *s, const sweep_way *way); /* takes it over, also on failure */
void sweep_way_free(sweep_way *w);
bool sweep_same_peer(const sweep_way *a, const sweep_way *b); /* name and command */
dfl_status sweep_add_budget(sweep *s, int nfe, bool wanted);
/* Compiles the plans and lists the cells. A solver that is not understood is refused; one that
   refuses a budget leaves a note there. */
dfl_status sweep_lay_out(sweep *s);
/* Digests of model, card and extractor; that samples are pictures which the extractor takes. */
dfl_status sweep_frame_fill(sweep *s);
size_t sweep_left(const sweep *s);        /* wanted cells that are to be drawn */
size_t sweep_evaluations(const sweep *s); /* of the network, in those cells */
bool sweep_cell_pending(const sweep_cell *c);
void sweep_free(sweep *s); /* what it owns: not model and extractor */

/* ---- sweep_reference.c ------------------------------------------------------------------------ */

/* Looks at pictures or statistics, for digest and count, without evaluating anything. */
dfl_status sweep_reference_look(sweep *s, const char *path);
/* Their features (from the folder, if it has them), their moments and the floor. */
dfl_status sweep_reference_load(sweep *s, const char *path);

/* ---- sweep_cell.c, sweep_peer.c --------------------------------------------------------------- */

/* Draws a cell and fills in its result: a number, or a note. Failures that are not the cell's own
   (memory, disk, the network itself, a stop) come back as such. With a folder, features, pictures and,
   last of all, the capsule are written there. */
dfl_status sweep_draw(sweep *s, sweep_cell *c);
/* The samples of a peer [n][dim], finite; *seconds of its program. */
dfl_status sweep_peer_draw(sweep *s, const sweep_cell *c, float *samples, double *seconds);
/* Evaluations of the network and features of pictures per second, in a short try. */
dfl_status sweep_probe(sweep *s, double *evaluations, double *pictures);
dfl_status sweep_probe_replicate(const sweep *s, double *replicates); /* of the intervals */
dfl_status sweep_path(const sweep *s, const char *kind, const char *name, const char *ending,
                      text *out); /* FOLDER/KIND/NAME.ENDING */

/* ---- capsule.c, sweep_folder.c ---------------------------------------------------------------- */

/* Takes up what the folder has, to be called before anything is added: budgets and ways of before come
   first, and are not wanted yet. Writes nothing. E_COMBINATION for the folder of another sweep. */
dfl_status sweep_folder_open(sweep *s);
/* Results of finished cells from their capsules; makes the folder, and writes its own file. */
dfl_status sweep_folder_read(sweep *s);
dfl_status sweep_folder_save(const sweep *s);

dfl_status capsule_write(const sweep *s, const sweep_cell *c);
/* The result that a capsule of this cell keeps; E_COMBINATION if it belongs to another cell, or was drawn
   by another plan than the cell has. */
dfl_status capsule_result(const sweep *s, sweep_cell *c, const char *path);

/* A capsule as a stranger takes it: a sweep of one cell. Texts are borrowed from root. */
typedef struct {
    json_t *root;
    const char *model, *features, *reference, *cpu, *version;
    double guidance, classifier_guidance; /* NaN: none */
    sweep_frame frame;
    sweep_result result;
} capsule;
dfl_status capsule_open(const char *path, capsule *out, sweep *s);
/* The same things are there again: model, card, extractor, reference. */
dfl_status capsule_check(const capsule *c, const sweep *s);
void capsule_close(capsule *c);
const char *cpu_name(char *buf, size_t cap);

/* ---- sweep_table.c, sweep_plot.c, sweep_report.c ---------------------------------------------- */

/* A point over its seeds. */
typedef struct {
    size_t point, seeds; /* seeds with a number */
    size_t spent;
    double fid, sd;             /* mean; over seeds, NaN for one */
    double kid, seconds, share; /* per sample; of the network; NaN: not known */
    double error;               /* of the mean, from resampling; NaN: not known */
    bool compared, best;        /* best: the one the others are compared with */
    double difference;          /* to that */
    spread of_difference;
} sweep_row;

dfl_status sweep_write_cells(const sweep *s); /* cells.csv */
/* The rows of all points, resampled where all seeds are there; *out [npoints] is to be freed.
   `baseline`: label of a way, NULL: the best of each budget. */
dfl_status sweep_compare(sweep *s, const char *baseline, sweep_row **out);
size_t sweep_replicates(const sweep *s); /* drawn by sweep_compare(), when all cells are done */
dfl_status sweep_write_comparisons(const sweep *s, const sweep_row *rows);
dfl_status sweep_print(const sweep *s, const sweep_row *rows, text *out); /* for people */

/* plot.svg and plot.png through gnuplot; where it is not to be had, *note says so. */
dfl_status sweep_plot(sweep *s, const sweep_row *rows, text *note);
dfl_status sweep_report(const sweep *s, const sweep_row *rows);

#endif
