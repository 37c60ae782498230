/* What every layer may use: status and messages, memory, text, options, small numeric pieces. */
#ifndef DFL_BASE_H
#define DFL_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driftless/driftless.h"

/* ---- status.c: failing with one sentence ----------------------------------------------------- */

/* Formats the thread's message and returns `status`: `return fail(DFL_E_RANGE, "order=%d: ...")`.
 */
__attribute__((format(printf, 2, 3))) dfl_status fail(dfl_status status, const char *format, ...);

/* Puts "where: " before the message already there; returns `status`. */
__attribute__((format(printf, 2, 3))) dfl_status fail_in(dfl_status status, const char *where, ...);

/* Out of memory, with a fixed message (never allocates). */
dfl_status fail_memory(void);

/* Forwards a failure. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        dfl_status try_status_ = (call);                                                           \
        if (try_status_ != DFL_OK) return try_status_;                                             \
    } while (0)

/* Forwards a failure to the function's one exit label, through its variable `status`. */
#define TRY_GOTO(call, label)                                                                      \
    do {                                                                                           \
        if ((status = (call)) != DFL_OK) goto label;                                               \
    } while (0)

/* ---- mem.c: memory --------------------------------------------------------------------------- */

/* Zeroed array of n elements; NULL if n * size overflows or there is no memory. Free with free().
   n = 0 gives a valid pointer. */
void *mem_array(size_t n, size_t size);

/* Grows *array (capacity *cap elements) so that it holds at least `need`; false: no memory,
   nothing changed. */
bool mem_grow(void **array, size_t *cap, size_t need, size_t size);

/* a * b * c, or SIZE_MAX if that overflows. */
size_t mem_product(size_t a, size_t b, size_t c);

/* Puts n numbers in rising order; none of them may be NaN. */
void sort_reals(double *x, size_t n);

#define LOG_2PI 1.83787706640934548356

/* ---- text.c: text and numbers, independent of the locale ------------------------------------- */

/* A growing, always terminated string; after a failed allocation `failed` sticks and data stays. */
typedef struct {
    char *data;
    size_t len, cap;
    bool failed;
} text;

__attribute__((format(printf, 2, 3))) void text_add(text *t, const char *format, ...);
/* vsnprintf with "." as the decimal point, whatever the locale. */
__attribute__((format(printf, 3, 0))) int text_vformat(char *buf, size_t cap, const char *format,
                                                       va_list args);

/* A number in as few decimals as read back as the same one, "." always the point; for a sentence:
   fail(status, "t=%s", real_text(t).s). */
typedef struct {
    char s[40];
} real_digits;
real_digits real_text(double x);
void text_real(text *t, double x);
dfl_status text_result(text *t, char *buf, size_t cap, size_t *need); /* copies out, frees t */
void text_free(text *t);
/* Appends `words` broken at blanks so that no line passes 80 columns; the cursor stands in
   column `column`, further lines start in column `indent`. Ends the line. */
void text_wrap(text *out, const char *words, size_t column, size_t indent);
void text_add_line(text *out, const char *s); /* what is to stay in one line: its ends become "?" */
bool text_ends_in(const char *s, const char *ending);            /* and has more than that */
void text_add_choice(text *out, const char *choices, int index); /* that word of "a|b|c" */
char *text_copy(const char *s);                                  /* NULL: no memory */

/* Overwrites by "?" what a terminal or a reader of UTF-8 could be fooled with: control characters
   (but line ends), invisible and direction-changing characters, bytes that are not UTF-8. */
void text_tame(char *s);

/* Strict conversions of a whole string, no blanks; false if it is not one number or overflows. */
bool text_to_real(const char *s, double *out);
bool text_to_int(const char *s, long long *out);
bool text_to_u64(const char *s, uint64_t *out); /* digits only */

/* The candidate closest to `word` in spelling, or NULL if none is close. */
const char *text_closest(const char *word, const char *const *candidates, size_t n);

/* ---- clock.c: time ----------------------------------------------------------------------------- */

/* Seconds of a clock that only moves forward. */
double seconds_now(void);

/* ---- file.c: files --------------------------------------------------------------------------- */

/* Whole file as bytes (terminated by a 0 not counted in *size). Refuses files over `limit`. */
dfl_status file_read(const char *path, size_t limit, char **data, size_t *size);

/* A file that appears under its name only when complete: written beside it, synced, renamed. */
typedef struct {
    char *path, *temporary;
    int fd;
} file_writer;

dfl_status file_create(const char *path, file_writer *w);
dfl_status file_write(file_writer *w, const void *data, size_t size);
dfl_status file_commit(file_writer *w); /* on failure the temporary file is gone, too */
void file_discard(file_writer *w);      /* fine after commit, and on a zeroed writer */

/* All of it in one go. */
dfl_status file_save(const char *path, const void *data, size_t size);

/* Joins a folder with a relative path from a file; refuses absolute paths, "..", empty parts, links
   that lead out of the folder, and what is not a regular file. *out is to be freed. */
dfl_status file_inside(const char *folder, const char *relative, char **out);

/* file_read of such a path. */
dfl_status file_read_inside(const char *folder, const char *relative, size_t limit, char **data,
                            size_t *size);

/* ---- opt.c: option text ---------------------------------------------------------------------- */

/* One grammar everywhere:  name[:key=value[,key=value...]]
   A value is bare, or quoted by ' or " (needed for blanks, commas, colons); a list of numbers is
   [1,0.5,...]. The tables below parse it, check it, and print the help. */
typedef enum { OPT_INT, OPT_REAL, OPT_BOOL, OPT_CHOICE, OPT_TEXT, OPT_LIST } opt_type;

typedef struct {
    const char *key;
    opt_type type;
    const char *fallback; /* default as text; NULL: unset unless given */
    double min, max;      /* INT and REAL: inclusive range; LIST: of each number, if min < max */
    const char *choices;  /* CHOICE: "small|large"; REAL: "auto" if that may stand for a number that
                             is to be looked up (opts_unresolved), else NULL */
    const char *help;     /* one line, with unit */
} opt_row;                /* a table ends in a row with key NULL */

enum { OPT_MAX = 32 };

typedef struct {
    const opt_row *row;
    bool given;    /* named in the text, not defaulted */
    bool set;      /* has a value at all */
    double number; /* INT, REAL, BOOL; CHOICE: index of the choice */
    char *text;    /* the value as text */
    double *list;  /* LIST */
    size_t nlist;
} opt_value;

typedef struct {
    int n;
    opt_value v[OPT_MAX];
} opts;

/* Splits "name:rest" at the first colon outside quotes: *name is to be freed, *rest points into
   spec (or at its end). */
dfl_status opt_head(const char *spec, char **name, const char **rest);

/* Parses "key=value,..." by `rows`; `what` names the owner in messages ("solver deis"). */
dfl_status opts_parse(const char *what, const opt_row *rows, const char *body, opts *out);
/* The same with blanks between the keys, for the outer level of a specification. */
dfl_status opts_parse_words(const char *what, const opt_row *rows, const char *body, opts *out);
void opts_free(opts *o);

/* The value is still "auto" (its number is NaN), and the first option that is, or NULL. */
bool opt_is_auto(const opt_value *v);
const opt_value *opts_unresolved(const opts *o);

/* Values by key; asking for a key that is not in the table is a mistake of ours (asserted). */
const opt_value *opt_get(const opts *o, const char *key);
long long opt_int(const opts *o, const char *key);
double opt_real(const opts *o, const char *key);
bool opt_bool(const opts *o, const char *key);
int opt_choice(const opts *o, const char *key);       /* index */
const char *opt_text(const opts *o, const char *key); /* NULL if unset; CHOICE gives its word */

/* "order=3,kind=tab" with every set option, for records; and the help of a table. */
void opts_print(const opts *o, text *out);
void opt_quote(text *out, const char *s); /* a value, in quotes if it needs them */
void opts_help(const opt_row *rows, const char *indent, text *out);

/* ---- blk.c: coefficients --------------------------------------------------------------------- */

/* A coefficient of a row: a number that acts on every component alike (m = n = 0, value in v[0]),
   or an m x n block, row-major, m, n in {1, 2} (phase space: component 0 is x, 1 the momentum). */
typedef struct {
    uint8_t m, n;
    double v[4];
} blk;

static inline blk blk_real(double c) {
    return (blk){0, 0, {c, 0, 0, 0}};
}
blk blk_2x2(double a, double b, double c, double d);
blk blk_add(blk a, blk b); /* a number added to a block adds to its diagonal */
blk blk_mul(blk a, blk b); /* shapes must fit (asserted) */
blk blk_scale(double s, blk a);
blk blk_exp(blk a); /* of a number or a 2x2 block, in closed form */
blk blk_transpose(blk a);
blk blk_inverse(blk a); /* of a number or a 2x2 block */
bool blk_is_zero(blk a);
bool blk_is_one(blk a); /* the number 1, or the 2x2 identity */
bool blk_is_finite(blk a);

/* ---- quad.c: quadrature ---------------------------------------------------------------------- */

/* Integral of f over [lo, hi] by n-point Gauss-Legendre: n is 8, 16, 32 or 48 (asserted). */
double quad_gauss(double (*f)(double x, void *user), void *user, double lo, double hi, int n);

/* The same for a function with m values: out[0..m), m up to 16; sum[0..m) receives the integrals.
 */
void quad_gauss_n(void (*f)(double x, void *user, double *out), void *user, double lo, double hi,
                  int n, int m, double *sum);

/* Lagrange basis l_j(x) = prod_{k != j} (x - node_k) / (node_j - node_k), as a product of ratios.
 */
double quad_lagrange(const double *node, int n, int j, double x);

/* ---- beta.c ---------------------------------------------------------------------------------- */

/* x in [0, 1] with probability p below it; a and b from 0.01 to 80. */
double beta_quantile(double p, double a, double b);

/* ---- noise.c: counter-based random numbers --------------------------------------------------- */

/* Standard normals dst[0..n): elements element0 .. element0 + n of (seed, kind, draw, sample).
   A pure function of its arguments, the same bits on every machine: Philox 4x32-10, two 53-bit
   uniforms per block, Box-Muller with polynomials of our own. kind is a DFL_DRAW_... below 16,
   draw < 2^28. */
void noise_normals(uint64_t seed, int kind, uint32_t draw, uint64_t sample, size_t element0,
                   size_t n, double *dst);
double noise_uniform(uint64_t seed, int kind, uint32_t draw, uint64_t sample); /* in [0, 1) */

/* ---- digest.c -------------------------------------------------------------------------------- */

enum { DIGEST_HEX = 65 };
/* SHA-256 of a file, or of memory, as 64 hexadecimal digits. */
dfl_status digest_file(const char *path, char hex[DIGEST_HEX]);
void digest_bytes(const void *data, size_t size, char hex[DIGEST_HEX]);

#endif
