/* Between the files of "times". */
#ifndef CLI_TIMES_H
#define CLI_TIMES_H

#include "cli.h"
#include "eval/times.h"

/* What a study says, for people: a table for each start and a recommendation, 80 columns wide. */
void times_print(const times_study *s, const times_choice *c, text *out);

/* One line for each start and time: T, parts, totals, errors. */
void times_csv(const times_study *s, const times_choice *c, text *out);

/* Members of a JSON object, from a comma on: times and the curves. */
void times_json(const times_study *s, const times_choice *c, text *out);

#endif
