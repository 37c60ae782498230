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

/* A relative path begins with a folder: a leading "-" would be an option, a leading "|" a command. */
static const char *folder_of(const char *path) {
    return *path == '/' ? "" : "./";
}

void gnuplot_output(text *out, const char *path) {
    text_add(out, "set output '%s'.", folder_of(path));
    gnuplot_quoted(out, path);
    text_add(out, "\n");
}

static bool has_controls(const char *s) {
    while (*s && (unsigned char)*s >= 32) s++;
    return *s;
}

dfl_status gnuplot_run(const char *script, int (*watch)(void *user), void *user, text *note) {
    char said[SAID];
    int code = 0;
    text path = {0};
    if (has_controls(script)) {
        text_add(note,
                 "no plot: gnuplot takes no path with a line end or another control character");
        return DFL_OK;
    }
    text_add(&path, "%s%s", folder_of(script), script);
    if (path.failed) return fail_memory();
    const char *const argv[] = {"gnuplot", path.data, NULL};
    const spawn_wish wish = {argv, watch, user, said, sizeof said};
    const dfl_status status = spawn_wait(&wish, &code);
    text_free(&path);
    if (status == DFL_E_IO) {
        text_add(note, "no plot: gnuplot is not installed (Debian: gnuplot-nox)");
        return DFL_OK;
    }
    TRY(status);
    text_tame(said);
    if (code != 0) text_add(note, "no plot: gnuplot ended with %d: %s", code, said);
    return DFL_OK;
}
