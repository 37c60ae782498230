/* Plots by gnuplot, which need not be there. */
#ifndef DFL_GNUPLOT_H
#define DFL_GNUPLOT_H

#include "base/base.h"

/* Okabe and Ito's colours, which colour-blind readers can tell apart; yellow is too light for lines. */
enum { GNUPLOT_COLOURS = 8 };
extern const char *const gnuplot_colours[GNUPLOT_COLOURS];
extern const int gnuplot_marks[GNUPLOT_COLOURS]; /* point types that differ in shape, too */

/* A string of gnuplot's, in which nothing has a meaning. */
void gnuplot_quoted(text *out, const char *s);

/* The line that says where a plot goes. */
void gnuplot_output(text *out, const char *path);

/* Runs a script. `watch` is asked ten times a second, not 0 ends it and is returned; may be NULL. That
   gnuplot is not there, or fails, is one sentence in `note` and no failure: numbers are all there. */
dfl_status gnuplot_run(const char *script, int (*watch)(void *user), void *user, text *note);

#endif
