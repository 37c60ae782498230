/* The plot of a sweep, through gnuplot: distance over evaluations spent, a line for each way. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/gnuplot.h"
#include "eval/sweep.h"

static double error_of(const sweep_row *row) {
    return isfinite(row->sd) ? row->sd : isfinite(row->error) ? row->error : 0;
}

/* Whether numbers spread so far that equal factors tell more than equal differences. */
static bool wants_log(const sweep *s, const sweep_row *rows, bool spent, double least) {
    double lo = HUGE_VAL, hi = 0;
    for (size_t i = 0; i < s->npoints; i++) {
        const double x = spent ? (double)rows[i].spent : rows[i].fid;
        if (rows[i].seeds == 0) continue;
        lo = fmin(lo, x);
        hi = fmax(hi, x);
    }
    if (!spent && isfinite(s->floor)) lo = fmin(lo, s->floor);
    return lo > 0 && hi / lo >= least;
}

static void add_data(const sweep *s, const sweep_row *rows, size_t way, bool log_y, text *out) {
    text_add(out, "$way%zu << EOD\n", way);
    for (size_t b = 0; b < s->nbudgets; b++) {
        const sweep_row *row = &rows[way * s->nbudgets + b];
        if (row->seeds == 0) continue;
        double low = row->fid - error_of(row);
        if (log_y && low <= 0) low = row->fid / 100;
        text_add(out, "%zu ", row->spent);
        text_real(out, row->fid);
        text_add(out, " ");
        text_real(out, low);
        text_add(out, " ");
        text_real(out, row->fid + error_of(row));
        text_add(out, "\n");
    }
    text_add(out, "EOD\n");
}

static bool has_points(const sweep *s, const sweep_row *rows, size_t way) {
    for (size_t b = 0; b < s->nbudgets; b++)
        if (rows[way * s->nbudgets + b].seeds > 0) return true;
    return false;
}

/* Each number of evaluations once, rising, with a little room on both sides. */
static void add_ticks(const sweep *s, const sweep_row *rows, bool log_x, text *out) {
    size_t last = 0, first = 0;
    text_add(out, "set xtics (");
    for (;;) {
        size_t next = SIZE_MAX;
        for (size_t i = 0; i < s->npoints; i++)
            if (rows[i].seeds > 0 && rows[i].spent > last && rows[i].spent < next)
                next = rows[i].spent;
        if (next == SIZE_MAX) break;
        text_add(out, "%s%zu", first ? "," : "", next);
        if (!first) first = next;
        last = next;
    }
    const double room =
        log_x ? pow((double)last / (double)first, 0.04) : fmax(0.5, 0.04 * (double)(last - first));
    text_add(out, ")\nset xrange [");
    text_real(out, log_x ? (double)first / room : (double)first - room);
    text_add(out, ":");
    text_real(out, log_x ? (double)last * room : (double)last + room);
    text_add(out, "]\n");
}

static void add_lines(const sweep *s, const sweep_row *rows, text *out) {
    const char *between = "plot ";
    for (size_t w = 0; w < s->nways; w++) {
        if (!has_points(s, rows, w)) continue;
        text_add(out,
                 "%s$way%zu using 1:2:3:4 with yerrorlines lc rgb '%s' lw 2 dt %zu pt %d ps 0.8 "
                 "title ",
                 between, w, gnuplot_colours[w % GNUPLOT_COLOURS], 1 + w / GNUPLOT_COLOURS,
                 gnuplot_marks[w % GNUPLOT_COLOURS]);
        gnuplot_quoted(out, s->way[w].label);
        between = ", \\\n     ";
    }
    if (isfinite(s->floor)) {
        text_add(out, "%s", between);
        text_real(out, s->floor);
        text_add(out, " with lines lc rgb '#888888' lw 1.5 dt 2 title 'real pictures against real "
                      "ones'");
    }
    text_add(out, "\n");
}

static dfl_status make_script(const sweep *s, const sweep_row *rows, const char *const paths[2],
                              text *out) {
    const bool log_x = wants_log(s, rows, true, 3), log_y = wants_log(s, rows, false, 5);
    for (size_t w = 0; w < s->nways; w++)
        if (has_points(s, rows, w)) add_data(s, rows, w, log_y, out);
    if (log_x) text_add(out, "set logscale x\n");
    if (log_y) text_add(out, "set logscale y\n");
    add_ticks(s, rows, log_x, out);
    text_add(out,
             "set key below left Left reverse vertical maxcols 2 samplen 2 width 1\n"
             "set border 3\n"
             "set tics nomirror\nset grid ytics lt 1 lc rgb '#cccccc' lw 0.5\n"
             "set xlabel \"network evaluations per sample\\n \"\nset ylabel 'Frechet distance%s'\n",
             log_y ? " (logarithmic)" : "");
    const size_t height = 380 + 18 * s->nways;
    text_add(out, "set terminal svg size 640,%zu dynamic noenhanced font 'sans-serif,14'\n",
             height);
    gnuplot_output(out, paths[0]);
    add_lines(s, rows, out);
    text_add(out,
             "set terminal pngcairo size 960,%zu noenhanced font 'sans-serif,11' fontscale "
             "1.4\n",
             height * 3 / 2);
    gnuplot_output(out, paths[1]);
    text_add(out, "replot\nunset output\n");
    return out->failed ? fail_memory() : DFL_OK;
}

static int watch(void *user) {
    const sweep *s = user;
    return s->watch ? s->watch(s->user, 0) : 0;
}

dfl_status sweep_plot(sweep *s, const sweep_row *rows, text *note) {
    static const char *const endings[2] = {".svg", ".png"};
    text paths[2] = {{0}, {0}}, made[2] = {{0}, {0}}, script = {0}, where = {0};
    dfl_status status = DFL_OK;
    bool any = false;
    for (size_t w = 0; w < s->nways; w++) any = any || has_points(s, rows, w);
    for (int i = 0; i < 2 && status == DFL_OK; i++) {
        status = sweep_path(s, "", "plot", endings[i], &paths[i]);
        if (status == DFL_OK) status = sweep_path(s, "", ".plot-new", endings[i], &made[i]);
        if (status == DFL_OK) (void)unlink(paths[i].data); /* an old one would tell old numbers */
    }
    if (status != DFL_OK || !any) goto done;
    const char *const names[2] = {made[0].data, made[1].data};
    TRY_GOTO(make_script(s, rows, names, &script), done);
    TRY_GOTO(sweep_path(s, "", "plot", ".gp", &where), done);
    TRY_GOTO(file_save(where.data, script.data, script.len), done);
    TRY_GOTO(gnuplot_run(where.data, watch, s, note), done);
    for (int i = 0; i < 2; i++)
        if (!note->len && rename(made[i].data, paths[i].data) != 0)
            text_add(note, "no plot: gnuplot left no %s", paths[i].data);
    if (note->failed) status = fail_memory();
done:
    for (int i = 0; i < 2; i++) {
        if (made[i].data) (void)unlink(made[i].data);
        text_free(&paths[i]);
        text_free(&made[i]);
    }
    text_free(&script);
    text_free(&where);
    return status;
}
