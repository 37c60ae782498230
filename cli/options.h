/* One table per command: it parses the arguments, prints --help, and feeds the man page. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/base.h"

/* FILE: to be read, or a folder; OUTPUT: to be written. */
typedef enum { ARG_FLAG, ARG_INT, ARG_REAL, ARG_CHOICE, ARG_TEXT, ARG_FILE, ARG_OUTPUT } arg_kind;

typedef struct {
    char letter;          /* short form, 0: none */
    const char *name;     /* long form, without dashes; NULL ends the table */
    const char *alias;    /* second long form, or NULL */
    const char *value;    /* name of the argument in the help; CHOICE: "a|b", the choices */
    const char *fallback; /* default as the help shows it, or NULL */
    const char *help;     /* a few words */
    arg_kind kind;
    double min, max; /* INT and REAL: inclusive range */
} arg_row;

typedef struct {
    const arg_row *row;
    bool given;
    const char *text; /* as typed */
    long long integer;
    double real;
} arg_value;

enum { ARGS_MAX = 40, OPERANDS_MAX = 64 };

typedef struct args args;

typedef struct {
    const char *name;
    const char *operands; /* for the usage; completion offers its words in lower case */
    const char *about;
    const char *notes; /* shown under the options; NULL: none */
    int operands_min, operands_max;
    const arg_row *rows;
    int (*run)(const args *a);
} command;

struct args {
    const command *command;
    int argc; /* the whole command line, for the record */
    char *const *argv;
    arg_value value[ARGS_MAX + 1]; /* in the order of the table; the last has no row */
    const char *operand[OPERANDS_MAX];
    int noperands;
    bool help;
};

/* Stands at the end of every table. */
#define ROWS_END                                                                                   \
    {'h', "help", NULL, NULL, NULL, "print this help", ARG_FLAG, 0, 0}, {                          \
        0                                                                                          \
    }

/* Parses what follows the command's name. Both "--key value" and "--key=value"; "--" ends the
   options; an option given twice is refused. E_ARG with a sentence. With --help, stops early. */
dfl_status args_parse(const command *c, int argc, char *const *argv, args *out);

/* The value of an option by its long name; a name outside the table is our mistake (asserted). */
const arg_value *arg(const args *a, const char *name);
bool arg_given(const args *a, const char *name);

/* The row of an option as typed ("--key", "--key=value", "-k", "-kvalue"), or NULL. */
const arg_row *command_row(const command *c, const char *word);

/* Number of operands is right, else E_ARG. */
dfl_status args_check_operands(const args *a);

/* The help of a command, at most 80 columns wide. */
void command_help(const command *c, text *out);

#endif
