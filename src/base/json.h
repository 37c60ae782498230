/* Reading JSON objects key by key, with one sentence for everything that can be wrong; and the two
   pieces of writing that need care. Jansson does the parsing; everything read is untrusted. */
#ifndef DFL_JSON_H
#define DFL_JSON_H

#include <jansson.h>

#include "base/base.h"

enum { JSON_WHERE = 240 };
/* Values in one text. An empty array takes three bytes to write and more than a hundred to keep. */
enum { JSON_VALUES_MAX = 1 << 24 };

/* An object (borrowed) and where it stands, for messages: "model.json, sample". */
typedef struct {
    const json_t *object;
    char where[JSON_WHERE];
} json_in;

/* Parses a text that must be one object without repeated keys. *root is to be given to
   json_decref; *in refers to it. Errors: E_FORMAT with line and column, E_MEMORY. */
dfl_status json_open(const char *where, const char *data, size_t length, json_t **root,
                     json_in *in);

/* The same from a file of at most `limit` bytes. */
dfl_status json_read(const char *path, size_t limit, json_t **root, json_in *in);

bool json_has(const json_in *in, const char *key);
bool json_has_value(const json_in *in, const char *key); /* there, and not null */

/* Required members. A missing one is E_KEY, another type E_FORMAT, out of range E_RANGE. */
dfl_status json_get_real(const json_in *in, const char *key, double *out); /* finite */
dfl_status json_get_int(const json_in *in, const char *key, long long lo, long long hi,
                        long long *out);
/* A number of 64 bits without a sign, written as text, because readers of JSON round whole numbers
   above 2^53; a plain number is taken, too. At most `hi`. */
dfl_status json_get_u64(const json_in *in, const char *key, uint64_t hi, uint64_t *out);
dfl_status json_get_text(const json_in *in, const char *key, const char **out); /* borrowed */
dfl_status json_get_choice(const json_in *in, const char *key, const char *choices, int *out);
dfl_status json_get_object(const json_in *in, const char *key, json_in *out);
dfl_status json_get_array(const json_in *in, const char *key, const json_t **out);

/* The member "format" must be this text; another one is E_FORMAT. */
dfl_status json_check_format(const json_in *in, const char *format);

/* An array of finite numbers; *out is to be freed. At most `max` numbers, at least one. */
dfl_status json_get_reals(const json_in *in, const char *key, size_t max, double **out, size_t *n);

/* Exactly n numbers into memory of the caller. */
dfl_status json_get_pair(const json_in *in, const char *key, size_t n, double *out);

/* One line in `warnings` for each key that is not in `known` ("a|b|c"), with the closest known. */
void json_unknown(const json_in *in, const char *known, text *warnings);

/* Building: the first failure sticks in `bad`. Values are taken over. */
typedef struct {
    bool bad;
} json_builder;
void json_put(json_builder *b, json_t *object, const char *key, json_t *value);
void json_push(json_builder *b, json_t *list, json_t *value);

/* A whole number as text: readers of JSON round those above 2^53. */
json_t *json_digits(uint64_t n);

/* A value with 17 digits, indented if indent > 0. What fails marks the text as failed: json_dumps
   forgets a lack of memory while it writes a key, and then writes a text without that key. */
void json_add(text *out, const json_t *value, size_t indent);

/* A number, or null where it is not finite; and a member of an object that is not its first. */
void json_add_real(text *out, double x);
void json_add_next_real(text *out, const char *key, double x);

/* A string in quotes with everything escaped that must be. */
void json_add_text(text *out, const char *s);

#endif
