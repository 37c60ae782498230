/* The tables of a sweep: every cell, and every point over its seeds, compared with the best one from
   paired replicates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/sweep.h"
#include "io/io.h"

/* ---- cells.csv ------------------------------------------------------------------------------- */

static void field(text *out, const char *s) {
    if (!s[strcspn(s, ",\"\n\r")]) {
        text_add(out, "%s,", s);
        return;
    }
    text_add(out, "\"");
    for (; *s; s++) text_add(out, *s == '"' ? "\"\"" : "%c", *s);
    text_add(out, "\",");
}

static void real(text *out, double x) {
    if (isfinite(x)) text_real(out, x);
    text_add(out, ",");
}

static dfl_status save(const sweep *s, const char *name, text *t) {
    text path = {0};
    dfl_status status = t->failed ? fail_memory() : sweep_path(s, "", name, ".csv", &path);
    if (status == DFL_OK) status = file_save(path.data, t->data, t->len);
    text_free(&path);
    text_free(t);
    return status;
}

static void add_cell(const sweep *s, const sweep_cell *c, text *out) {
    const sweep_point *p = &s->point[c->point];
    const sweep_way *w = &s->way[p->way];
    const sweep_result *r = &c->result;
    const double samples = (double)s->frame.samples;
    field(out, w->argv ? w->label : w->solver);
    field(out, w->argv ? "" : w->grid);
    text_add(out, "%s,%d,", w->argv ? "peer" : "driftless", p->nfe);
    if (*r->note)
        text_add(out, ",,");
    else
        text_add(out, "%zu,%zu,", r->spent, r->calls);
    text_add(out, "%llu,%zu,", (unsigned long long)c->seed, s->frame.samples);
    real(out, r->fid);
    real(out, r->kid);
    real(out, r->kid_error);
    real(out, r->seconds / samples);
    real(out, r->model_seconds / r->seconds);
    field(out, r->features);
    text_add(out, "capsules/%s.json,", c->name);
    field(out, r->note);
    out->data[out->len - 1] = '\n';
}

dfl_status sweep_write_cells(const sweep *s) {
    text t = {0};
    text_add(&t, "solver,grid,program,nfe,spent_nfe,network_calls,seed,samples,fid,"
                 "kid,kid_error,seconds_per_sample,network_share,features_sha256,capsule,note\n");
    for (size_t i = 0; i < s->ncells && !t.failed; i++)
        if (s->cell[i].done) add_cell(s, &s->cell[i], &t);
    return save(s, "cells", &t);
}

/* ---- points over their seeds ----------------------------------------------------------------- */

static const sweep_cell *cell_of(const sweep *s, size_t point, size_t seed) {
    const size_t way = point / s->nbudgets, budget = point % s->nbudgets;
    return &s->cell[(budget * s->nways + way) * s->nseeds + seed];
}

static bool has_number(const sweep_cell *c) {
    return c->done && !*c->result.note;
}

static void sum_up(const sweep *s, size_t point, sweep_row *row) {
    double sum = 0, seconds = 0, model = 0, kids = 0;
    *row = (sweep_row){.point = point, .sd = NAN, .error = NAN, .difference = NAN};
    row->of_difference = (spread){NAN, NAN, NAN};
    for (size_t k = 0; k < s->nseeds; k++) {
        const sweep_cell *c = cell_of(s, point, k);
        if (!has_number(c)) continue;
        row->seeds++;
        row->spent = c->result.spent;
        sum += c->result.fid;
        kids += c->result.kid;
        seconds += c->result.seconds;
        model += c->result.model_seconds;
    }
    row->fid = sum / (double)row->seeds;
    row->kid = kids / (double)row->seeds;
    row->seconds = seconds / (double)row->seeds / (double)s->frame.samples;
    row->share = model / seconds;
    double squares = 0;
    for (size_t k = 0; k < s->nseeds; k++) {
        const sweep_cell *c = cell_of(s, point, k);
        if (has_number(c)) squares += pow(c->result.fid - row->fid, 2);
    }
    if (row->seeds > 1) row->sd = sqrt(squares / (double)(row->seeds - 1));
}

static void choose_best(const sweep *s, const char *baseline, sweep_row *rows) {
    for (size_t b = 0; b < s->nbudgets; b++) {
        sweep_row *best = NULL;
        for (size_t w = 0; w < s->nways; w++) {
            sweep_row *row = &rows[w * s->nbudgets + b];
            if (row->seeds < s->nseeds) continue;
            const bool named = baseline && strcmp(s->way[w].label, baseline) == 0;
            if (named || (!baseline && (!best || row->fid < best->fid))) best = row;
        }
        if (best) best->best = true;
    }
}

static sweep_row *best_of(const sweep *s, sweep_row *rows, size_t point) {
    for (size_t w = 0; w < s->nways; w++) {
        sweep_row *row = &rows[w * s->nbudgets + point % s->nbudgets];
        if (row->best) return row;
    }
    return NULL;
}

/* ---- replicates ------------------------------------------------------------------------------ */

/* Adds the distances of a cell's replicates to sums [replicates], 1/nseeds each. */
static dfl_status replicate(sweep *s, const sweep_cell *c, const uint32_t *index, double *sums) {
    const size_t n = s->frame.samples, d = s->real.d;
    text path = {0};
    array a = {0};
    dfl_status status = sweep_path(s, "features", c->name, ".npy", &path);
    if (status == DFL_OK) status = npy_read(path.data, mem_product(n, d, sizeof(float)), &a);
    const bool same = status == DFL_OK && a.type == ARRAY_F32 && a.rank == 2 && a.shape[0] == n &&
                      a.shape[1] == d;
    if (status == DFL_OK) {
        char hex[DIGEST_HEX];
        digest_bytes(a.data, same ? n * d * sizeof(float) : 0, hex);
        if (strcmp(hex, c->result.features) != 0)
            status = fail(DFL_E_FORMAT,
                          "%s: not the features that capsule %s speaks of; remove both, and the "
                          "cell is drawn again",
                          path.data, c->name);
    }
    for (size_t b = 0; status == DFL_OK && b < s->replicates; b++) {
        const features f = {n, d, a.data};
        double fid = 0;
        status = distance_to(&s->real, &f, index + b * n, &fid);
        sums[b] += fid / (double)s->nseeds;
        if (status == DFL_OK && s->watch) status = s->watch(s->user, 1);
    }
    array_free(&a);
    text_free(&path);
    return status;
}

/* The rows of one seed are resampled alike in all cells: that keeps them paired. */
static dfl_status replicate_seed(sweep *s, size_t k, const sweep_row *rows, double *sums) {
    const size_t n = s->frame.samples;
    uint32_t *index = mem_array(mem_product(s->replicates, n, 1), sizeof *index);
    if (!index) return fail_memory();
    dfl_status status = DFL_OK;
    for (size_t b = 0; b < s->replicates; b++) resample(s->seed[k], (uint32_t)b, n, index + b * n);
    for (size_t i = 0; status == DFL_OK && i < s->npoints; i++)
        if (rows[i].seeds == s->nseeds)
            status = replicate(s, cell_of(s, i, k), index, sums + i * s->replicates);
    free(index);
    return status;
}

static void conclude(const sweep *s, sweep_row *rows, const double *sums, double *scratch) {
    const size_t b = s->replicates;
    for (size_t i = 0; i < s->npoints; i++) {
        sweep_row *row = &rows[i];
        const sweep_row *best = best_of(s, rows, i);
        if (row->seeds < s->nseeds) continue;
        memcpy(scratch, sums + i * b, b * sizeof *scratch);
        row->error = spread_of(row->fid, scratch, b).error;
        if (!best) continue;
        row->compared = true;
        for (size_t j = 0; j < b; j++) scratch[j] = sums[i * b + j] - sums[best->point * b + j];
        row->of_difference = spread_of(row->difference, scratch, b);
    }
}

/* A cell that is to be drawn counts as one with a number. */
size_t sweep_replicates(const sweep *s) {
    size_t points = 0;
    for (size_t i = 0; i < s->npoints; i++) {
        bool whole = true;
        for (size_t k = 0; k < s->nseeds; k++) {
            const sweep_cell *c = cell_of(s, i, k);
            whole = whole && (has_number(c) || (sweep_cell_pending(c) && !*s->point[i].note));
        }
        points += whole;
    }
    return s->replicates >= 2 ? points * s->nseeds * s->replicates : 0;
}

static dfl_status compare(sweep *s, sweep_row *rows) {
    double *sums = mem_array(mem_product(s->npoints, s->replicates, 1), sizeof *sums);
    double *scratch = mem_array(s->replicates, sizeof *scratch);
    dfl_status status = sums && scratch ? DFL_OK : fail_memory();
    for (size_t k = 0; status == DFL_OK && k < s->nseeds; k++)
        status = replicate_seed(s, k, rows, sums);
    if (status == DFL_OK) conclude(s, rows, sums, scratch);
    free(sums);
    free(scratch);
    return status;
}

dfl_status sweep_compare(sweep *s, const char *baseline, sweep_row **out) {
    sweep_row *rows = mem_array(s->npoints, sizeof *rows);
    *out = NULL;
    if (!rows) return fail_memory();
    for (size_t i = 0; i < s->npoints; i++) sum_up(s, i, &rows[i]);
    choose_best(s, baseline, rows);
    for (size_t i = 0; i < s->npoints; i++) {
        const sweep_row *best = best_of(s, rows, i);
        if (best && rows[i].seeds == s->nseeds) rows[i].difference = rows[i].fid - best->fid;
    }
    const dfl_status status = s->replicates >= 2 ? compare(s, rows) : DFL_OK;
    if (status == DFL_OK)
        *out = rows;
    else
        free(rows);
    return status;
}

dfl_status sweep_write_comparisons(const sweep *s, const sweep_row *rows) {
    text t = {0};
    text_add(&t, "nfe,solver,grid,spent_nfe,seeds,fid,fid_sd,fid_error,baseline,difference,"
                 "difference_error,low,high,replicates\n");
    for (size_t b = 0; b < s->nbudgets && !t.failed; b++)
        for (size_t w = 0; w < s->nways; w++) {
            const sweep_row *row = &rows[w * s->nbudgets + b];
            if (row->seeds == 0) continue;
            const sweep_row *best = best_of(s, (sweep_row *)rows, row->point);
            text_add(&t, "%d,", s->nfe[b]);
            field(&t, s->way[w].argv ? s->way[w].label : s->way[w].solver);
            field(&t, s->way[w].argv ? "" : s->way[w].grid);
            text_add(&t, "%zu,%zu,", row->spent, row->seeds);
            real(&t, row->fid);
            real(&t, row->sd);
            real(&t, row->error);
            field(&t, best ? s->way[best->point / s->nbudgets].label : "");
            real(&t, row->difference);
            real(&t, row->of_difference.error);
            real(&t, row->of_difference.low);
            real(&t, row->of_difference.high);
            text_add(&t, "%zu\n", row->compared ? s->replicates : 0);
        }
    return save(s, "comparisons", &t);
}

/* ---- for people ------------------------------------------------------------------------------ */

/* An end of an interval in six places, of which the larger end says how many are decimals. */
static void print_end(double x, double larger, int width, text *out) {
    const int decimals = larger < 1 ? 3 : larger < 10 ? 2 : 1;
    text digits = {0};
    if (larger < 0.01)
        text_add(&digits, "%+.0e", x);
    else
        text_add(&digits, "%+.*f", decimals, fabs(x) < pow(10, -decimals) / 2 ? 0 : x);
    if (digits.failed) out->failed = true;
    if (digits.data) text_add(out, "%*s", width, digits.data);
    text_free(&digits);
}

static void print_interval(const spread *d, text *out) {
    const double larger = fmax(fabs(d->low), fabs(d->high));
    text_add(out, " ");
    print_end(d->low, larger, 6, out);
    text_add(out, "..");
    print_end(d->high, larger, -6, out);
    text_add(out, " ");
}

static void print_row(const sweep *s, const sweep_row *row, text *out) {
    const sweep_point *p = &s->point[row->point];
    const int decimals = row->fid < 1 ? 4 : 2;
    text_add(out, "%5d  ", p->nfe);
    if (row->seeds == 0)
        text_add(out, "       -                          ");
    else
        text_add(out, "%8.*f", decimals, row->fid);
    if (row->seeds > 1)
        text_add(out, " +- %-6.*f", decimals, row->sd);
    else if (row->seeds > 0)
        text_add(out, "%10s", "");
    if (row->seeds > 0 && row->best)
        text_add(out, "  %-14s", "baseline");
    else if (row->seeds > 0 && isfinite(row->of_difference.low))
        print_interval(&row->of_difference, out);
    else if (row->seeds > 0)
        text_add(out, " %15s", "");
    text_add(out, "  %s\n", s->way[p->way].label);
}

dfl_status sweep_print(const sweep *s, const sweep_row *rows, text *out) {
    text_add(out, "  nfe  distance  +- sd     against baseline  solver@grid\n");
    for (size_t b = 0; b < s->nbudgets; b++)
        for (size_t w = 0; w < s->nways; w++) {
            const sweep_row *row = &rows[w * s->nbudgets + b];
            const sweep_cell *first = cell_of(s, row->point, 0);
            if (row->seeds > 0 || first->done) print_row(s, row, out);
        }
    if (isfinite(s->floor)) text_add(out, "real pictures against real ones: %.2f\n", s->floor);
    return out->failed ? fail_memory() : DFL_OK;
}
