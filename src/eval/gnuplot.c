/* Running gnuplot; see the header. */
#include "eval/gnuplot.h"

#include "base/spawn.h"

enum { SAID = 240 };

const char *const gnuplot_colours[GNUPLOT_COLOURS] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                      "#E69F00", "#56B4E9", "#7F5AC2", "#8C6D46"};
const int gnuplot_marks[GNUPLOT_COLOURS] = {7, 5, 9, 13, 11, 6, 4, 8};

/* In single quotes nothing but the quote itself has a meaning, and without "enhanced" no letter. */
void gnuplot_quoted(text *out, const char *s) {
    text_add(out, "'");
    for (; *s; s++) text_add(out, *s == '\'' ? "''" : "%c", (unsigned char)*s < 32 ? '?' : *s);
    text_add(out, "'");
}

dfl_status gnuplot_run(const char *script, int (*watch)(void *user), void *user, text *note) {
    char said[SAID];
    int code = 0;
    const char *const argv[] = {"gnuplot", script, NULL};
    const spawn_wish wish = {argv, watch, user, said, sizeof said};
    const dfl_status status = spawn_wait(&wish, &code);
    if (status == DFL_E_IO) {
        text_add(note, "no plot: gnuplot is not installed (Debian: gnuplot-nox)");
        return DFL_OK;
    }
    TRY(status);
    text_tame(said);
    if (code != 0) text_add(note, "no plot: gnuplot ended with %d: %s", code, said);
    return DFL_OK;
}
