/* Growing strings, numbers to text and back. All formatting and reading of numbers goes through a
   "C" locale object that is in force for the one call and the one thread only, because a host
   program may have chosen a locale with a decimal comma. */
#include "base/base.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __APPLE__
#include <xlocale.h>
#endif

int text_vformat(char *buf, size_t cap, const char *format, va_list args) {
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const locale_t host = plain ? uselocale(plain) : (locale_t)0;
    const int length = vsnprintf(buf, cap, format, args);
    if (plain) {
        uselocale(host);
        freelocale(plain);
    }
    return length;
}

static bool text_reserve(text *t, size_t more) {
    if (t->failed) return false;
    void *data = t->data;
    if (more >= SIZE_MAX - t->len - 1 || !mem_grow(&data, &t->cap, t->len + more + 1, 1)) {
        t->failed = true;
        return false;
    }
    t->data = data;
    return true;
}

void text_add(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int length = text_vformat(NULL, 0, format, args);
    va_end(args);
    if (length < 0) t->failed = true;
    if (length < 0 || !text_reserve(t, (size_t)length)) return;
    va_start(args, format);
    text_vformat(t->data + t->len, (size_t)length + 1, format, args);
    va_end(args);
    t->len += (size_t)length;
}

static void format_plain(char *buf, size_t cap, const char *format, ...) {
    va_list args;
    va_start(args, format);
    text_vformat(buf, cap, format, args);
    va_end(args);
}

real_digits real_text(double x) {
    real_digits made;
    for (int precision = 15; precision <= 17; precision++) {
        double back = 0;
        format_plain(made.s, sizeof made.s, "%.*g", precision, x);
        if (text_to_real(made.s, &back) && back == x) break;
    }
    return made;
}

void text_real(text *t, double x) {
    /* without a point, JSON readers take -0 for the integer 0 */
    text_add(t, "%s", x == 0 && signbit(x) ? "-0.0" : real_text(x).s);
}

dfl_status text_result(text *t, char *buf, size_t cap, size_t *need) {
    dfl_status status = DFL_OK;
    if (t->failed) status = fail_memory();
    if (status == DFL_OK && !buf && cap > 0) {
        status = fail(DFL_E_ARG, "the buffer is NULL, but its capacity is %zu", cap);
    }
    const size_t length = status == DFL_OK ? t->len : 0;
    if (buf && cap > 0) {
        const size_t copied = length < cap ? length : cap - 1;
        if (copied > 0) memcpy(buf, t->data, copied);
        buf[copied] = 0;
    }
    if (need) *need = length;
    text_free(t);
    return status;
}

void text_add_line(text *out, const char *s) {
    for (; *s; s++) text_add(out, "%c", *s == '\n' ? '?' : *s);
}

void text_add_choice(text *out, const char *choices, int index) {
    for (; index > 0; index--) choices += strcspn(choices, "|") + 1;
    text_add(out, "%.*s", (int)strcspn(choices, "|"), choices);
}

void text_free(text *t) {
    free(t->data);
    *t = (text){0};
}

bool text_ends_in(const char *s, const char *ending) {
    const size_t n = strlen(s), m = strlen(ending);
    return n > m && strcmp(s + n - m, ending) == 0;
}

char *text_copy(const char *s) {
    const size_t size = strlen(s) + 1;
    char *copy = mem_array(size, 1);
    if (copy) memcpy(copy, s, size);
    return copy;
}

bool text_to_real(const char *s, double *out) {
    /* strtod also takes blanks, hexadecimal digits, "inf" and "nan": none of these is a number
       here. */
    if (!*s || s[strspn(s, "+-.0123456789eE")]) return false;
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain) return false;
    char *end = NULL;
    const double x = strtod_l(s, &end, plain);
    freelocale(plain);
    if (*end || !isfinite(x)) return false;
    *out = x;
    return true;
}

bool text_to_int(const char *s, long long *out) {
    if (!*s || s[strspn(s, "+-0123456789")]) return false;
    char *end = NULL;
    const int kept = errno;
    errno = 0;
    const long long x = strtoll(s, &end, 10);
    const bool fits = errno == 0;
    errno = kept;
    if (*end || !fits) return false;
    *out = x;
    return true;
}

bool text_to_u64(const char *s, uint64_t *out) {
    uint64_t x = 0;
    if (!*s) return false;
    for (; *s; s++) {
        const uint64_t digit = (uint64_t)(*s - '0');
        if (*s < '0' || digit > 9 || x > (UINT64_MAX - digit) / 10) return false;
        x = x * 10 + digit;
    }
    *out = x;
    return true;
}

/* ---- what strangers wrote ---------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at s, and its code; 0: there is none (the shortest form counts, and
   halves of surrogate pairs do not). */
static size_t utf8_decode(const unsigned char *s, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t n = s[0] < 0x80   ? 1
                     : s[0] < 0xc2 ? 0
                     : s[0] < 0xe0 ? 2
                     : s[0] < 0xf0 ? 3
                     : s[0] < 0xf5 ? 4
                                   : 0;
    *code = n < 2 ? s[0] : s[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0U) != 0x80) return 0; /* the final 0, too */
        *code = *code << 6U | (s[i] & 0x3fU);
    }
    const bool good = *code >= least[n] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
    return good ? n : 0;
}

void text_tame(char *s) {
    static const uint32_t wild[][2] = {
        {1, 0x9},         {0xb, 0x1f},      {0x7f, 0x9f},     {0xad, 0xad},
        {0x61c, 0x61c},   {0x115f, 0x1160}, {0x180b, 0x180f}, {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
        {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    while (*s) {
        uint32_t code;
        const size_t found = utf8_decode((const unsigned char *)s, &code), n = found ? found : 1;
        bool bad = found == 0;
        for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++)
            bad = bad || (code >= wild[i][0] && code <= wild[i][1]);
        if (bad) memset(s, '?', n);
        s += n;
    }
}

/* ---- spelling -------------------------------------------------------------------------------- */

enum { WORD_MAX = 48 };

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Changes (insert, delete, replace, swap of neighbours) that turn a into b; case is ignored. */
static size_t spelling_distance(const char *a, const char *b) {
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    const size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX || nb > WORD_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++) d[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        d[i][0] = i;
        for (size_t j = 1; j <= nb; j++) {
            const char ca = lower(a[i - 1]), cb = lower(b[j - 1]);
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (ca != cb));
            const bool swapped = i > 1 && j > 1 && ca == lower(b[j - 2]) && lower(a[i - 2]) == cb;
            if (swapped) d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[na][nb];
}

/* The distance, or SIZE_MAX where b is no sensible guess for a: more than a third wrong. The
   beginning of a longer word counts as nearly right. */
static size_t spelling_guess(const char *a, const char *b) {
    const size_t na = strlen(a), nb = strlen(b);
    if (na >= 2 && nb > na && !strncmp(a, b, na)) return 1;
    const size_t distance = spelling_distance(a, b);
    const size_t longer = na > nb ? na : nb, allowed = longer / 3 > 1 ? longer / 3 : 1;
    return distance <= allowed && distance < least(na, nb) ? distance : SIZE_MAX;
}

const char *text_closest(const char *word, const char *const *candidates, size_t n) {
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const size_t distance = spelling_guess(word, candidates[i]);
        if (distance >= best_distance) continue;
        best = candidates[i];
        best_distance = distance;
    }
    return best;
}

/* ---- layout ------------------------------------------------------------------------------------ */

enum { WIDTH = 80 };

static void add_blanks(text *out, size_t n) {
    text_add(out, "%*s", (int)n, "");
}

void text_wrap(text *out, const char *words, size_t column, size_t indent) {
    bool fresh = true;
    for (const char *p = words; *p;) {
        const size_t n = strcspn(p, " \n");
        if (n > 0) {
            if (!fresh && column + 1 + n > WIDTH) {
                text_add(out, "\n");
                add_blanks(out, indent);
                column = indent;
                fresh = true;
            }
            text_add(out, fresh ? "%.*s" : " %.*s", (int)n, p);
            column += n + !fresh;
            fresh = false;
        }
        p += n;
        if (*p == '\n') {
            text_add(out, "\n");
            if (p[1]) add_blanks(out, indent);
            column = indent;
            fresh = true;
        }
        p += *p != 0;
    }
    if (!fresh) text_add(out, "\n");
}
