/* Families of named things with options: processes, grids, solvers. One table each; this is what
   the tables have in common, so that parsing, help and listings are written once. */
#ifndef DFL_FAMILY_H
#define DFL_FAMILY_H

#include "base/base.h"

/* The first member of every row of every family. */
typedef struct {
    const char *name;
    const char *about; /* one line */
    const char *paper; /* "arXiv:2204.13902 section 3", "" if none */
    const opt_row *options;
} family_row;

/* Another name for a row with some options: "dpmpp_2m" is "dpm:order=2,method=multistep". */
typedef struct {
    const char *name, *spec;
} family_alias;

/* A family: `rows` points at n rows, each of which begins with a family_row. */
typedef struct {
    const char *singular; /* "solver", for messages */
    const family_row *const *rows;
    size_t n;
    const family_alias *aliases; /* [naliases] names that people type elsewhere */
    size_t naliases;
} family;

extern const opt_row family_no_options[];

/* "name:key=value,..." (or an alias, with more options behind it) -> the row of that name and its
 * parsed options (opts_free them). */
dfl_status family_parse(const family *f, const char *spec, const family_row **row, opts *o);

/* Every row with its options, defaults and paper, as text for people. */
void family_describe(const family *f, text *out);

/* "name:key=value,..." again, from a row and its options. */
void family_print(const family_row *row, const opts *o, text *out);

#endif
