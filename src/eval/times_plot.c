/* The plot of a study of times, through gnuplot: a curve for each start. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "eval/gnuplot.h"
#include "eval/times.h"

const char *times_start_name(const times_study *s, size_t start) {
    return start == 0 ? "N(0, I)" : s->prior[start - 1].path;
}

static const times_point *last_of(const times_choice *c, size_t k) {
    return &c->curve[k].point[c->m - 1];
}

static double best_of(const times_choice *c) {
    double best = HUGE_VAL;
    for (size_t k = 0; k < c->nstarts; k++)
        best = fmin(best, c->curve[k].point[c->curve[k].least].total.mean);
    return best;
}

/* Small times are off by so much that nothing else would be seen: up to four times what the last
   time is, or twelve standard errors of it. */
static double height_of(const times_choice *c, double best) {
    double most = 0, height = 0;
    for (size_t k = 0; k < c->nstarts; k++) {
        const times_point *last = last_of(c, k);
        height = fmax(height, fmax(4 * (last->total.mean - best), 12 * last->above.error));
        for (size_t j = 0; j < c->m; j++) most = fmax(most, c->curve[k].point[j].total.mean - best);
    }
    return most > 0 ? fmin(height > 0 ? height : most, most) : 1;
}

static void add_data(const times_study *s, const times_choice *c, double best, text *out) {
    for (size_t k = 0; k < c->nstarts; k++) {
        text_add(out, "$start%zu << EOD\n", k);
        for (size_t j = 0; j < c->m; j++) {
            const times_point *p = &c->curve[k].point[j];
            text_real(out, s->t[j]);
            text_add(out, " ");
            text_real(out, p->total.mean - best);
            text_add(out, " ");
            text_real(out, p->above.error);
            text_add(out, "\n");
        }
        text_add(out, "EOD\n");
    }
}

static void add_curves(const times_study *s, const times_choice *c, double height, text *out) {
    for (size_t k = 0; k < c->nstarts; k++) {
        text_add(out, "set arrow from first ");
        text_real(out, s->t[c->curve[k].chosen]);
        text_add(out, ", graph 0 rto graph 0, graph 1 nohead dt 2 lw 1.5 lc rgb '%s'\n",
                 gnuplot_colours[k % GNUPLOT_COLOURS]);
    }
    text_add(out, "set yrange [");
    text_real(out, -0.04 * height);
    text_add(out, ":");
    text_real(out, height);
    text_add(out, "]\nplot ");
    for (size_t k = 0; k < c->nstarts; k++) {
        text_add(out,
                 "%s$start%zu using 1:2:3 with yerrorlines lc rgb '%s' lw 2 pt %d ps 0.6 title ",
                 k ? ", \\\n     " : "", k, gnuplot_colours[k % GNUPLOT_COLOURS],
                 gnuplot_marks[k % GNUPLOT_COLOURS]);
        gnuplot_quoted(out, times_start_name(s, k));
    }
    text_add(out, "\n");
}

static dfl_status make_script(const times_study *s, const times_choice *c, const char *path,
                              text *out) {
    const double best = best_of(c);
    const size_t height = 400 + 18 * c->nstarts;
    add_data(s, c, best, out);
    if (text_ends_in(path, ".svg"))
        text_add(out, "set terminal svg size 640,%zu dynamic noenhanced font 'sans-serif,14'\n",
                 height);
    else
        text_add(
            out,
            "set terminal pngcairo size 960,%zu noenhanced font 'sans-serif,11' fontscale 1.4\n",
            height * 3 / 2);
    gnuplot_output(out, path);
    text_add(out, "set key below left Left reverse vertical maxcols 1 samplen 2 width 1\n"
                  "set border 3\nset tics nomirror\nset grid ytics lt 1 lc rgb '#cccccc' lw 0.5\n"
                  "set xlabel \"T, where the reverse process begins (dashed: recommended)\\n \"\n"
                  "set ylabel 'bound on -log p above the least, nats'\n");
    add_curves(s, c, height_of(c, best), out);
    text_add(out, "unset output\n");
    return out->failed ? fail_memory() : DFL_OK;
}

static int watch(void *user) {
    const times_study *s = user;
    return s->net.watch ? s->net.watch(s->net.user, 0) : 0;
}

dfl_status times_plot(times_study *s, const times_choice *c, const char *path, text *note) {
    const char *const ending = text_ends_in(path, ".svg") ? ".svg" : ".png";
    text made = {0}, script = {0}, where = {0};
    text_add(&made, "%s.new%s", path, ending);
    text_add(&where, "%s.new.gp", path);
    dfl_status status = made.failed || where.failed ? fail_memory() : DFL_OK;
    if (status == DFL_OK) status = make_script(s, c, made.data, &script);
    if (status == DFL_OK) status = file_save(where.data, script.data, script.len);
    if (status == DFL_OK) status = gnuplot_run(where.data, watch, s, note);
    if (status == DFL_OK && !note->len && rename(made.data, path) != 0)
        text_add(note, "no plot: gnuplot left no %s", path);
    if (status == DFL_OK && note->failed) status = fail_memory();
    if (made.data) (void)unlink(made.data);
    if (where.data) (void)unlink(where.data);
    text_free(&made);
    text_free(&script);
    text_free(&where);
    return status;
}
